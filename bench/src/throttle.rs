//! Gives a process as little processor time as Lambda does at a memory size.
//!
//! Lambda gives processor time in proportion to memory, one vCPU at 1,769 MB:
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, fs};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Megabytes of memory with which a function has one vCPU.
const ONE_VCPU_MB: f64 = 1769.0;
/// The period in which the time is given out.
const PERIOD: Duration = Duration::from_millis(20);

/// How processes are held back on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Throttle {
    /// By the kernel, with a control group.
    ControlGroup(ControlGroup),
    /// By stopping and continuing the process: coarser, and more generous, since it runs at the
    /// beginning of each period whether it has work or not, and only a whole process can be stopped.
    Signals,
}

/// A control group with a limit of processor time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ControlGroup {
    folder: PathBuf,
    version: u8,
}

impl Throttle {
    /// The best that this machine permits.
    pub(crate) fn available() -> Throttle {
        ControlGroup::make().map_or(Throttle::Signals, Throttle::ControlGroup)
    }

    /// Holds `process` back from now on until the answer is dropped.
    pub(crate) fn hold(&self, process: u32, memory_mb: u32) -> std::io::Result<Held> {
        let quota = PERIOD.mul_f64(f64::from(memory_mb) / ONE_VCPU_MB);
        match self {
            Throttle::ControlGroup(group) => {
                group.limit(quota)?;
                fs::write(group.folder.join("cgroup.procs"), process.to_string())?;
                Ok(Held(None))
            }
            Throttle::Signals => Ok(Held(Some(Beat::start(process, quota)))),
        }
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Throttle::ControlGroup(group) => write!(
                f,
                "a control group (version {}), period {} ms",
                group.version,
                PERIOD.as_millis()
            ),
            Throttle::Signals => write!(
                f,
                "stop and continue signals, period {} ms, because this machine permits no control group",
                PERIOD.as_millis()
            ),
        }
    }
}

impl ControlGroup {
    fn make() -> Option<ControlGroup> {
        let name = format!("bench-lambda-{}", std::process::id());
        let places = [
            (2, "/sys/fs/cgroup", "cpu.max"),
            (1, "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"),
        ];
        places.into_iter().find_map(|(version, root, limit)| {
            // Of version 1 and of mixed systems there is a folder for each controller instead.
            if version == 2 && !Path::new(root).join("cgroup.controllers").exists() {
                return None;
            }
            let folder = Path::new(root).join(&name);
            fs::create_dir(&folder).ok()?;
            let group = ControlGroup { folder, version };
            // Without the controller, the folder is there, but not the file.
            if group.folder.join(limit).exists() && group.limit(PERIOD).is_ok() {
                Some(group)
            } else {
                group.remove();
                None
            }
        })
    }

    fn limit(&self, quota: Duration) -> std::io::Result<()> {
        let (quota, period) = (quota.as_micros(), PERIOD.as_micros());
        if self.version == 2 {
            fs::write(self.folder.join("cpu.max"), format!("{quota} {period}"))
        } else {
            fs::write(self.folder.join("cpu.cfs_period_us"), period.to_string())?;
            fs::write(self.folder.join("cpu.cfs_quota_us"), quota.to_string())
        }
    }

    /// Takes the group away. It must be empty.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// A process that is held back for as long as this lives.
#[derive(Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "it works by being dropped")] Option<Beat>);

/// Stops and continues a process.
#[derive(Debug)]
struct Beat {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beat {
    fn start(process: u32, quota: Duration) -> Beat {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let process = Pid::from_raw(process.cast_signed());
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                // One that has ended takes no signal, and needs none.
                let _ = kill(process, Signal::SIGCONT);
                std::thread::sleep(quota);
                let _ = kill(process, Signal::SIGSTOP);
                std::thread::sleep(PERIOD.saturating_sub(quota));
            }
            let _ = kill(process, Signal::SIGCONT);
        });
        Beat {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
