//! A fake AWS: one host for each service, over TLS, with as much state as the functions change, and
//! a record of every call.
//!
//! Its answers have the shapes of the services' API references. It knows what the scenarios need and
//! refuses everything else, so that no call goes unnoticed.

mod auto_scaling;
mod backup;
mod cloudformation;
mod data_stores;
mod dynamodb;
mod ec2;
mod rds;
mod routing_cluster;
mod s3;
mod sns;
mod ssm;
mod states;
mod world;

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) use data_stores::DataStores;
pub(crate) use world::{World, ids};

use crate::calls::Call;
use crate::certificates::Certificates;
use crate::trouble::{Result, Trouble};
use testkit::answers;
use testkit::http::{self, Incoming, Request};

/// The services, by the names in `AWS_ENDPOINT_URL_<NAME>`. What goes to any other is refused.
const SERVICES: [(&str, Service); 12] = [
    ("AUTO_SCALING", auto_scaling::answer),
    ("EC2", ec2::answer),
    ("DYNAMODB", dynamodb::answer),
    ("RDS", rds::answer),
    ("CLOUDFORMATION", cloudformation::answer),
    ("SSM", ssm::answer),
    ("S3", s3::answer),
    ("SNS", sns::answer),
    ("BACKUP", backup::answer),
    ("ROUTE53_RECOVERY_CLUSTER", routing_cluster::answer),
    ("SFN", states::answer),
    ("", unknown),
];

/// What a service does with a request: the name of the action, and its answer.
type Service = fn(&mut World, &Request) -> (String, Answer);

/// A service's answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    content_type: &'static str,
    /// The type of a REST service's error.
    error_type: Option<&'static str>,
    body: String,
}

impl Answer {
    fn new(status: u16, content_type: &'static str, body: String) -> Answer {
        Answer {
            status,
            content_type,
            error_type: None,
            body,
        }
    }
}

fn unknown(_: &mut World, request: &Request) -> (String, Answer) {
    let action = format!("{} {}", request.method, request.target);
    let body = r#"{"message":"this service is not faked"}"#.to_owned();
    (action, Answer::new(400, "application/json", body))
}

/// The fake AWS. It serves for as long as the program runs.
pub(crate) struct Aws {
    shared: Arc<Shared>,
    endpoints: BTreeMap<String, String>,
    bundle: PathBuf,
}

struct Shared {
    tls: Arc<ServerConfig>,
    epoch: Instant,
    state: Mutex<State>,
    connections: AtomicUsize,
}

#[derive(Default)]
struct State {
    world: World,
    latency: Duration,
    calls: Vec<Call>,
    attachment: Attachment,
}

/// When the clients were told of an attachment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attachment {
    /// When `AttachVolume` was answered.
    pub(crate) accepted: Option<Instant>,
    /// When an answer said that the volume is attached.
    pub(crate) confirmed: Option<Instant>,
}

impl Aws {
    /// Starts to listen.
    pub(crate) fn start(certificates: Certificates) -> Result<Aws> {
        let shared = Arc::new(Shared {
            tls: certificates.server,
            epoch: Instant::now(),
            state: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let mut endpoints = BTreeMap::new();
        for (name, service) in SERVICES {
            let port = listen(&shared, service).map_err(Trouble::because(
                "no free port on loopback",
                "Let programs listen on 127.0.0.1.",
            ))?;
            let variable = match name {
                "" => "AWS_ENDPOINT_URL".to_owned(),
                name => format!("AWS_ENDPOINT_URL_{name}"),
            };
            endpoints.insert(variable, format!("https://localhost:{port}"));
        }
        Ok(Aws {
            shared,
            endpoints,
            bundle: certificates.bundle,
        })
    }

    /// The variables that lead a program to it: the endpoints, and the trusted roots under the names
    /// that the Rust SDK and boto3 read.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = self.endpoints.clone();
        for name in ["SSL_CERT_FILE", "AWS_CA_BUNDLE"] {
            variables.insert(name.to_owned(), self.bundle.display().to_string());
        }
        variables
    }

    /// Makes the world `world`, lets every call take `latency` more than it needs, and forgets the
    /// calls so far.
    pub(crate) fn set(&self, world: World, latency: Duration) {
        *lock(&self.shared.state) = State {
            world,
            latency,
            calls: Vec::new(),
            attachment: Attachment::default(),
        };
    }

    /// What the clients were told of an attachment since the world was set.
    pub(crate) fn attachment(&self) -> Attachment {
        lock(&self.shared.state).attachment
    }

    /// Forgets the calls so far; the world stays as they have made it.
    pub(crate) fn forget_calls(&self) {
        lock(&self.shared.state).calls.clear();
    }

    /// Changes the world, as time or a service does.
    pub(crate) fn change(&self, change: fn(&mut World)) {
        change(&mut lock(&self.shared.state).world);
    }

    /// The calls since the world was set.
    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.shared.state).calls.clone()
    }

    /// Connections that were opened, since the start.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

/// Listens for one service, on a port of its own: a host of its own to every client.
fn listen(shared: &Arc<Shared>, service: Service) -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    // Where localhost means ::1 first, that shall not cost a refused connection.
    for listener in [Some(listener), TcpListener::bind(("::1", port)).ok()]
        .into_iter()
        .flatten()
    {
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // Ends with the connection. A client that was killed breaks it.
                std::thread::spawn(move || {
                    let _ = shared.serve(connection, service);
                });
            }
        });
    }
    Ok(port)
}

impl Shared {
    fn serve(&self, connection: TcpStream, service: Service) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let tls = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, connection);
        let mut incoming = Incoming::default();
        let mut first = true;
        while let Some(request) = incoming.next(&mut stream)? {
            if std::mem::take(&mut first) {
                self.connections.fetch_add(1, Ordering::SeqCst);
            }
            let began = self.epoch.elapsed();
            let (action, answer, latency, news) = {
                let mut state = lock(&self.state);
                let before = (state.world.accepted.is_some(), state.world.confirmed);
                let (action, answer) = service(&mut state.world, &request);
                let accepts = state.world.accepted.is_some() && !before.0;
                let confirms = state.world.confirmed && !before.1;
                (action, answer, state.latency, (accepts, confirms))
            };
            if !latency.is_zero() {
                std::thread::sleep(latency);
            }
            // Written down before the client can have the answer, and so before its next call.
            {
                let mut state = lock(&self.state);
                let now = Instant::now();
                if news.0 {
                    state.attachment.accepted = Some(now);
                }
                if news.1 {
                    state.attachment.confirmed = Some(now);
                }
                state.calls.push(Call {
                    action,
                    began,
                    ended: now - self.epoch,
                });
            }
            let mut headers = vec![
                ("content-type", answer.content_type),
                ("x-amzn-requestid", "59dbff89-35bd-4eac-99ed-be587EXAMPLE"),
            ];
            headers.extend(answer.error_type.map(|kind| ("x-amzn-errortype", kind)));
            http::answer(&mut stream, answer.status, &headers, &answer.body)?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer of CloudFormation, EC2 Auto Scaling, RDS or SNS.
fn query(action: &str, inner: &str) -> Answer {
    Answer::new(200, "text/xml", answers::query(action, inner))
}

/// The answer of CloudFormation, EC2 Auto Scaling, RDS or SNS to a request that fails.
fn query_error(code: &str, message: &str) -> Answer {
    Answer::new(400, "text/xml", answers::query_error(400, code, message))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// Sends a form to the service of `variable`. Returns the response with its headers.
    fn send(aws: &Aws, variable: &str, form: &str) -> String {
        let mut roots = RootCertStore::empty();
        let bundle = CertificateDer::pem_file_iter(&aws.bundle).unwrap();
        let (read, unread) = roots.add_parsable_certificates(bundle.map(|root| root.unwrap()));
        assert_eq!((read, unread), (140, 0));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let port = aws.endpoints[variable].rsplit(':').next().unwrap();
        let connection = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(client, connection);
        let length = form.len();
        write!(
            stream,
            "POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{form}"
        )
        .unwrap();
        let mut part = [0; 64 * 1024];
        let count = stream.read(&mut part).unwrap();
        String::from_utf8(part[..count].to_vec()).unwrap()
    }

    #[test]
    fn answers_over_tls_with_latency_and_records_calls() {
        let folder = std::env::temp_dir().join(format!("bench-lambda-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let aws = Aws::start(crate::certificates::make(&folder).unwrap()).unwrap();
        let latency = Duration::from_millis(5);
        aws.set(World::default(), latency);
        let tags = format!(
            "Action=DescribeTags&Filter.1.Name=resource-id&Filter.1.Value.1={}",
            ids::SNAPSHOT
        );
        let answer = send(&aws, "AWS_ENDPOINT_URL_EC2", &tags);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.contains("<key>recovery:stack</key><value>orders-recovery</value>"),
            "{answer}"
        );
        // Calls that no scenario needs are rejected and recorded.
        let answer = send(&aws, "AWS_ENDPOINT_URL_EC2", "Action=TerminateInstances");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let answer = send(&aws, "AWS_ENDPOINT_URL", "Action=GetCallerIdentity");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let calls = aws.calls();
        let actions: Vec<&str> = calls.iter().map(|call| call.action.as_str()).collect();
        assert_eq!(actions, ["DescribeTags", "TerminateInstances", "POST /"]);
        assert!(calls.iter().all(|call| call.ended - call.began >= latency));
        assert_eq!(crate::calls::longest_chain(&calls).len(), 3);
        assert_eq!(aws.connections(), 3);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
