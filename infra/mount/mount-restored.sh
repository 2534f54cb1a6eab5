#!/bin/sh
# Mounts a restored file system at a path on this instance, now and at each boot.
#
# The Command document MountRestored runs this file (docs/mount.md). It reads its parameters from variables SSM_*,
# and ends with one line: RESULT and a JSON object. Exit code 0: mounted; 2: refused; 3: try again later.
# It creates no file system, and repairs, relabels, hides and unmounts nothing. What is ambiguous is refused.
set -eu
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 022

operation=${SSM_Operation:-mount}
type=${SSM_Type:-}
source=${SSM_Source:-}
path=${SSM_Path:-}
export_path=${SSM_Export:-}
addresses=${SSM_Addresses:-}
access_point=${SSM_AccessPoint:-}
transport=${SSM_Transport:-auto}
size_gib=${SSM_SizeGiB:-}
wait_seconds=${SSM_WaitSeconds:-120}

fstab=/etc/fstab
lock=/run/rapid-recovery-mount.lock
marker="# Rapid Recovery: $path"
# Of efs-utils: one file for each mount over TLS.
efs_state=/var/run/efs
device='' file_system='' spec='' persistent='' used_transport='' directory='' ended='' saved_fstab='' new_fstab='' output=''

# ---- the result -------------------------------------------------------------------------------------------------

remedy() {
  case $1 in
    parameter-invalid) echo "Correct the parameter, and run it again." ;;
    not-root) echo "Run it as root. Systems Manager does." ;;
    tool-missing) echo "Install the package that has the named program, and run it again." ;;
    busy) echo "No action needed. Run it again after the other run has ended." ;;
    device-not-found) echo "Attach the volume to this instance, and run it again. On Xen, also pass SizeGiB." ;;
    device-ambiguous) echo "Find the disk of the volume by hand, and mount it by hand." ;;
    device-in-use) echo "Find what uses the device (lsblk), end that use, and run it again." ;;
    device-mounted-elsewhere) echo "Use the path at which it is mounted, or unmount it there, and run it again." ;;
    no-file-system) echo "Check that the recovery point holds data. Restore another recovery point. Do not format the volume." ;;
    content-ambiguous) echo "Examine the device (wipefs --no-act, blkid -p), and mount the correct file system by hand." ;;
    several-file-systems) echo "Mount the correct partition by hand. A root volume is started as an instance instead." ;;
    encrypted) echo "Open the device with its key (cryptsetup, BitLocker), and mount it by hand." ;;
    raid-member) echo "Attach all members of the array, assemble it, and mount it by hand." ;;
    swap) echo "Check the recovery point: the volume holds swap space, and no files." ;;
    file-system-unsupported) echo "Mount it by hand, if this operating system supports the file system." ;;
    volume-group-duplicate) echo "Detach the other volume, or rename the group with vgimportclone, and mount it by hand." ;;
    volume-group-incomplete) echo "Attach all volumes of the group, check that they were backed up at one time, and mount it by hand." ;;
    volume-group-inactive) echo "Activate the group by hand (vgchange -ay), and run it again." ;;
    several-logical-volumes) echo "Mount the correct logical volume by hand." ;;
    duplicate-btrfs) echo "Detach the other device. Linux cannot mount two btrfs file systems with one id safely." ;;
    no-stable-name) echo "Detach the other device with the same id, or mount it by hand." ;;
    path-invalid) echo "Choose an absolute path without links, and run it again." ;;
    path-symlink) echo "Pass the path that the link points to, and run it again." ;;
    path-not-directory) echo "Choose another path, or move the file away, and run it again." ;;
    path-not-empty) echo "Move the files away, or choose another path, and run it again. A mount would hide them." ;;
    path-mounted-from-other) echo "Unmount what is mounted there, or choose another path, and run it again." ;;
    fstab-other-line) echo "Remove or correct the line in /etc/fstab, also in the image of the instance, and run it again." ;;
    fstab-not-writable) echo "Make /etc writable, and run it again." ;;
    export-missing) echo "Pass Export: the mount name, volume path, junction path or share." ;;
    address-missing) echo "Pass Addresses: the addresses of the mount targets." ;;
    no-restored-directory) echo "Check the restore job. List the root of the file system by hand." ;;
    several-restored-directories) echo "Choose the directory by hand, and pass it as Export or in the access point." ;;
    mount-failed) echo "Read the error. A person may check a volume with: mount -o ro,norecovery. Restore another recovery point if it is damaged." ;;
    mount-timeout) echo "Check security groups, mount targets and address, and run it again." ;;
    mount-undone) echo "Check systemctl list-units --type=mount and the journal, and run it again." ;;
    script-failed) echo "Read the output above, and mount it by hand." ;;
  esac
}

# The first $2 characters of $1 as the inside of a JSON string.
json_text() {
  printf '%s' "$1" | tr '\n\t' '  ' | tr -c ' -~' '?' | cut -c "1-$2" | sed 's/\\/\\\\/g; s/"/\\"/g'
}

member() {
  if [ -n "$2" ]; then printf ',"%s":"%s"' "$1" "$(json_text "$2" "$3")"; fi
}

# Prints the result: outcome, reason, and what was found.
result() {
  ended=yes
  printf 'RESULT {"outcome":"%s"' "$1"
  member reason "$2" 40
  member type "$type" 10
  member source "$source" 300
  member path "$path" 300
  member device "$device" 200
  member fileSystem "$file_system" 40
  member mountedFrom "$spec" 400
  member transport "$used_transport" 10
  member persistent "$persistent" 40
  member directory "$directory" 120
  member found "$3" 1500
  if [ -n "$2" ]; then member remedy "$(remedy "$2")" 300; fi
  printf '}\n'
}

refuse() {
  undo_fstab
  result refused "$1" "$2"
  exit 2
}

try_again() {
  undo_fstab
  result retry "$1" "$2"
  exit 3
}

at_exit() {
  status=$?
  trap - EXIT
  undo_fstab || true
  if [ -n "$new_fstab" ]; then rm -f "$new_fstab" || true; fi
  if [ -n "$output" ]; then rm -f "$output" || true; fi
  if [ -z "$ended" ]; then
    result retry script-failed "exit code $status" || true
    status=3
  fi
  exit "$status"
}
trap at_exit EXIT
trap 'exit 143' TERM INT HUP

# ---- parameters -------------------------------------------------------------------------------------------------

# Whether $1 is one line that matches the extended expression $2.
matches() {
  [ "$(printf '%s\n' "$1" | wc -l)" -eq 1 ] && printf '%s\n' "$1" | grep -Eq "^($2)\$"
}

# The lines of a text that are not empty.
count() {
  printf '%s\n' "$1" | grep -c . || true
}

one_line() {
  printf '%s' "$1" | tr '\n' ' '
}

require() {
  matches "$2" "$3" || refuse parameter-invalid "$1"
}

# Checks parameters again, because people run this file by hand.
check_parameters() {
  require Operation "$operation" 'mount|mount-restored|find-restored-directory'
  require Type "$type" 'EBS|EFS|LUSTRE|OPENZFS|ONTAP|WINDOWS'
  require Transport "$transport" 'auto|tls|tls-iam|nfs'
  require WaitSeconds "$wait_seconds" '[0-9]{1,3}'
  require SizeGiB "$size_gib" '|[1-9][0-9]{0,4}'
  require AccessPoint "$access_point" '|fsap-[0-9a-f]{8,40}'
  require Addresses "$addresses" '|[0-9A-Za-z][0-9A-Za-z.:=-]*( [0-9A-Za-z][0-9A-Za-z.:=-]*)*'
  require Export "$export_path" '|[0-9A-Za-z._/$:+=@-]{1,255}'
  case $type in
    EBS) require Source "$source" 'vol-[0-9a-f]{8,40}' ;;
    EFS) require Source "$source" 'fs-[0-9a-f]{8,40}' ;;
    *) require Source "$source" '[0-9A-Za-z][0-9A-Za-z.-]{0,253}' ;;
  esac
  if [ "$operation" != find-restored-directory ]; then
    require Path "$path" '/[0-9A-Za-z._/@+=-]{1,254}'
  elif [ "$type" != EFS ]; then
    refuse parameter-invalid "Operation: $operation is for EFS only"
  fi
  [ "$(id -u)" -eq 0 ] || refuse not-root "user $(id -un)"
  for tool in awk blkid cut findmnt flock grep lsblk mount readlink sed sort stat timeout tr; do
    command -v "$tool" >/dev/null || refuse tool-missing "$tool"
  done
}

# ---- devices ----------------------------------------------------------------------------------------------------

# Whether two files are the same block device.
same_device() {
  [ -b "$1" ] && [ -b "$2" ] && [ "$(stat -Lc %t:%T "$1")" = "$(stat -Lc %t:%T "$2")" ]
}

# The disks whose NVMe serial is the id of the volume, without its dash.
disks_with_serial() {
  {
    lsblk -dnro NAME,SERIAL 2>/dev/null || true
    for file in /sys/block/nvme*/device/serial; do
      if [ -r "$file" ]; then
        disk=${file#/sys/block/}
        echo "${disk%%/*} $(tr -d ' ' <"$file")"
      fi
    done
  } | awk -v wanted="vol${source#vol-}" '$2 == wanted { print "/dev/" $1 }' | sort -u |
    while read -r disk; do
      if [ -b "$disk" ]; then echo "$disk"; fi
    done
}

# Xen shows no serial: the disks of exactly the size of the volume.
xen_disks() {
  [ -n "$size_gib" ] || return 0
  lsblk -dnbro NAME,SIZE,TYPE | awk -v bytes="$((size_gib * 1073741824))" '$1 ~ /^xvd/ && $2 == bytes && $3 == "disk" { print "/dev/" $1 }'
}

# Disks without mounts, swap, and anything else than partitions on them.
unused_xen_disks() {
  for disk in $(xen_disks); do
    used=$(lsblk -nro MOUNTPOINT "$disk" | tr -d '\n')$(lsblk -nro TYPE "$disk" | grep -vxE 'disk|part|loop' || true)
    if [ -z "$used" ]; then echo "$disk"; fi
  done
}

# The disk from which an earlier run of this script mounted this volume at the path.
mounted_xen_disk() {
  grep -Fqx "$marker $source" "$fstab" 2>/dev/null || return 0
  from=$(mounted_from)
  for disk in $(xen_disks); do
    for part in $(lsblk -nrpo NAME "$disk"); do
      if same_device "$part" "$from"; then echo "$disk"; fi
    done
  done
}

has_nvme() {
  for disk in /dev/nvme*n*; do
    if [ -b "$disk" ]; then return 0; fi
  done
  return 1
}

# Sets disk. The device appears some seconds after EC2 says that the volume is attached.
find_disk() {
  waited=0
  while :; do
    disks=$(disks_with_serial)
    how='have the serial of the volume'
    if [ -z "$disks" ] && ! has_nvme; then
      disks=$(mounted_xen_disk)
      if [ -z "$disks" ]; then disks=$(unused_xen_disks); fi
      how="are unused and have $size_gib GiB"
    fi
    case $(count "$disks") in
      0) ;;
      1) break ;;
      *) refuse device-ambiguous "several disks $how: $(one_line "$disks")" ;;
    esac
    [ "$waited" -lt "$wait_seconds" ] || try_again device-not-found "no disk for $source after $waited s"
    sleep 1
    waited=$((waited + 1))
  done
  disk=$disks
  if command -v udevadm >/dev/null; then udevadm settle --timeout=10 >/dev/null 2>&1 || true; fi
}

# Sets content of a device, and the type and id of its file system.
probe() {
  content='' file_system='' uuid=''
  # Low-level probing reads the device, and not a cache. It ends with 2 if it recognizes nothing, with 8 if too much.
  if probed=$(blkid -p -o export "$1" 2>/dev/null); then code=0; else code=$?; fi
  case $code in
    0) ;;
    2) content='no-file-system' && return ;;
    *) content='content-ambiguous' && return ;;
  esac
  file_system=$(field TYPE) uuid=$(field UUID) table=$(field PTTYPE)
  case $(field USAGE):$file_system in
    *:LVM2_member) content=physical-volume ;;
    crypto:*) content=encrypted ;;
    raid:*) content=raid-member ;;
    *:swap | *:swsuspend) content=swap ;;
    filesystem:ext[234] | filesystem:xfs | filesystem:btrfs) content='file-system' ;;
    :) if [ -n "$table" ]; then content=partitions; else content=no-file-system; fi ;;
    *) content='file-system-unsupported' ;;
  esac
  if [ "$content" != partitions ] && [ -n "$table" ] && [ -n "$(partitions_of "$1")" ]; then content='content-ambiguous'; fi
}

field() {
  printf '%s\n' "$probed" | sed -n "s/^$1=//p" | head -n 1
}

partitions_of() {
  lsblk -nrpo NAME,TYPE "$1" | sed -n 's/ part$//p' | sort -u
}

# Sets device: what is mounted of a disk or partition.
find_file_system() {
  device=$1
  probe "$1"
  case $content in
    file-system) ;;
    partitions) choose_partition "$1" ;;
    physical-volume) choose_logical_volume "$1" ;;
    no-file-system) refuse no-file-system "nothing that blkid recognizes on $1" ;;
    *) refuse "$content" "$1 holds: ${file_system:-several signatures}" ;;
  esac
}

choose_partition() {
  kept='' found=''
  for partition in $(partitions_of "$1"); do
    probe "$partition"
    if [ "$content" != no-file-system ]; then
      kept="$kept $partition"
      found="$found $partition=${file_system:-$content}"
    fi
  done
  # shellcheck disable=SC2086 # one word for each
  set -- "$1" $kept
  case $# in
    1) refuse no-file-system "a partition table on $1, and no partition with content" ;;
    2) find_file_system "$2" ;;
    *) refuse several-file-systems "partitions with content:$found" ;;
  esac
}

# Of LVM, on all devices: a devices file (RHEL 9) hides volumes that it does not list.
lvm_report() {
  if command -v lvmdevices >/dev/null; then set -- "$@" --devicesfile ''; fi
  "$@" 2>/dev/null 9>&-
}

choose_logical_volume() {
  for tool in pvs vgs lvs vgchange; do
    command -v "$tool" >/dev/null || refuse tool-missing "$tool of lvm2"
  done
  others=$(others_with "$uuid" "$1")
  [ -z "$others" ] || refuse volume-group-duplicate "the same physical volume is on $1 and $others"
  group=$(lvm_report pvs --noheadings -o vg_name "$1" | tr -d ' ') || group=''
  matches "$group" '[0-9A-Za-z+_.-]+' || refuse no-file-system "a physical volume of no volume group on $1"
  groups=$(lvm_report vgs --noheadings --separator ' ' -o vg_name,vg_uuid,pv_count,vg_missing_pv_count | awk -v name="$group" '$1 == name')
  [ "$(echo "$groups" | wc -l)" -eq 1 ] || refuse volume-group-duplicate "several volume groups are named $group"
  case $groups in
    *' 1 0') ;;
    *) refuse volume-group-incomplete "volume group $group: physical volumes, missing ones: $(echo "$groups" | awk '{ print $3 ", " $4 }')" ;;
  esac
  # Of an exported group, lvs lists nothing and fails.
  volumes=$(lvm_report lvs --noheadings -o lv_name "$group") || refuse volume-group-inactive "$(lvs "$group" 2>&1 >/dev/null 9>&-)"
  volumes=$(printf '%s' "$volumes" | tr -d ' ')
  case $(count "$volumes") in
    0) refuse no-file-system "volume group $group has no logical volume" ;;
    1) ;;
    *) refuse several-logical-volumes "of volume group $group: $(one_line "$volumes")" ;;
  esac
  if [ -e /etc/lvm/devices/system.devices ] && ! pvs "$1" >/dev/null 2>&1 9>&-; then
    error=$(lvmdevices --yes --adddev "$1" 2>&1 9>&-) || refuse volume-group-inactive "$error"
  fi
  error=$(vgchange -ay "$group" 2>&1 9>&-) || refuse volume-group-inactive "$error"
  device=/dev/$group/$volumes
  [ -b "$device" ] || refuse volume-group-inactive "$device did not appear: $error"
  probe "$device"
  case $content in
    file-system) ;;
    partitions) refuse content-ambiguous "a partition table in $device" ;;
    physical-volume) refuse content-ambiguous "a physical volume in $device" ;;
    no-file-system) refuse no-file-system "nothing that blkid recognizes on $device" ;;
    *) refuse "$content" "$device holds: ${file_system:-several signatures}" ;;
  esac
}

# The devices other than $2 with the id $1.
others_with() {
  lsblk -nrpo NAME | sort -u | while read -r other; do
    if ! same_device "$other" "$2" && [ "$(blkid -p -s UUID -o value "$other" 2>/dev/null)" = "$1" ]; then
      printf '%s ' "$other"
    fi
  done
}

# Sets spec and options of a device: what fstab names it by, at each boot.
name_device() {
  options=defaults
  matches "$uuid" '[0-9A-Fa-f-]+' || refuse content-ambiguous "a file system without an id on $device"
  others=$(others_with "$uuid" "$device")
  if [ -z "$others" ]; then
    spec=UUID=$uuid
    return
  fi
  # XFS refuses an id that is mounted. In fstab, the id could be either device.
  case $file_system in
    btrfs) refuse duplicate-btrfs "the same id is on $others" ;;
    xfs) options=nouuid ;;
  esac
  case $device in
    "/dev/${group:-}/"*) spec=$device ;;
    *)
      for name in "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol${source#vol-}"*; do
        if same_device "$name" "$device"; then spec=$name && return; fi
      done
      refuse no-stable-name "the same id is on $others, and /dev/disk/by-id does not name $device" ;;
  esac
}

# ---- the path ---------------------------------------------------------------------------------------------------

# What is mounted at the path, without the subdirectory of a btrfs or bind mount; the newest, if several.
mounted_from() {
  findmnt -nrvo SOURCE -M "$path" 2>/dev/null | tail -n 1
}

check_path() {
  case $path/ in
    *//* | */./* | */../*) refuse path-invalid "$path" ;;
    /dev/* | /proc/* | /run/* | /sys/*) refuse path-invalid "$path is not on disk" ;;
  esac
  if [ -L "$path" ]; then refuse path-symlink "$path is a link to $(readlink "$path")"; fi
  real=$(readlink -m "$path")
  [ "$real" = "$path" ] || refuse path-symlink "$path is $real"
}

# Only for a path at which nothing is mounted.
check_free() {
  if [ -e "$path" ] && [ ! -d "$path" ]; then refuse path-not-directory "$path: $(stat -c %F "$path")"; fi
  if [ -d "$path" ]; then
    entries=$(find "$path" -mindepth 1 -maxdepth 1 | head -n 5)
    [ -z "$entries" ] || refuse path-not-empty "$path has: $(one_line "$entries")"
  fi
}

# ---- fstab ------------------------------------------------------------------------------------------------------

# The lines of fstab for the path: $1 is ours or theirs. Ours follow their marker.
fstab_line() {
  [ -e "$fstab" ] || return 0
  awk -v path="$path" -v marker="$marker" -v whose="$1" '
    { name = $2; sub(/\/+$/, "", name) }
    $1 !~ /^#/ && name == path && (index(previous, marker " ") == 1 ? "ours" : "theirs") == whose
    { previous = $0 }' "$fstab"
}

# Whether a line that somebody else wrote mounts the same source.
line_names_source() {
  named=${1%%[ 	]*}
  case $named in
    "$spec") return 0 ;;
    /dev/* | LABEL=* | PARTUUID=* | PARTLABEL=* | UUID=*)
      [ "$type" = EBS ] && [ "${others:-}" = '' ] && same_device "$(findfs "$named" 2>/dev/null || true)" "$device" ;;
    *) return 1 ;;
  esac
}

# Writes the line $1 in place of an earlier one of ours. Sets persistent: how the path is mounted at a boot.
write_fstab() {
  theirs=$(fstab_line theirs)
  if [ -n "$theirs" ]; then
    line_names_source "$theirs" || refuse fstab-other-line "$theirs"
    persistent=existing-line
    return
  fi
  if [ "$(fstab_line ours)" = "$1" ] && grep -Fqx "$marker $source" "$fstab"; then
    persistent=fstab
    return
  fi
  new_fstab=$(mktemp "$fstab.XXXXXX" 2>/dev/null) || refuse fstab-not-writable "cannot create a file beside $fstab"
  if [ -e "$fstab" ]; then
    kept_fstab=$(mktemp "$fstab.XXXXXX")
    # With owner, mode and security context.
    cp -a "$fstab" "$kept_fstab"
    cp -a "$fstab" "$new_fstab"
    earlier=$fstab
  else
    kept_fstab=none
    chmod 644 "$new_fstab"
    earlier=/dev/null
  fi
  awk -v path="$path" -v marker="$marker" -v source="$source" -v line="$1" '
    ours { ours = 0; if ($2 == path) next }
    index($0, marker " ") == 1 { ours = 1; next }
    { print }
    END { print marker " " source; print line }' "$earlier" >"$new_fstab"
  sync "$new_fstab" 2>/dev/null || sync
  mv -f "$new_fstab" "$fstab" 2>/dev/null || refuse fstab-not-writable "cannot replace $fstab"
  new_fstab='' saved_fstab=$kept_fstab persistent=fstab
  reload_units
}

# Undoes write_fstab, unless keep_fstab ended it: a line for what cannot be mounted would fail at each boot.
undo_fstab() {
  if [ -z "$saved_fstab" ]; then return 0; fi
  kept_fstab=$saved_fstab saved_fstab='' persistent=''
  if [ "$kept_fstab" = none ]; then rm -f "$fstab"; else mv -f "$kept_fstab" "$fstab"; fi
  reload_units
}

keep_fstab() {
  if [ -n "$saved_fstab" ] && [ "$saved_fstab" != none ]; then rm -f "$saved_fstab"; fi
  saved_fstab=''
}

# Before the mount: systemd at once unmounts what a unit of an earlier line contradicts.
reload_units() {
  if [ -d /run/systemd/system ]; then systemctl daemon-reload >/dev/null 2>&1 9>&- || true; fi
}

# ---- mounting ---------------------------------------------------------------------------------------------------

# Mounts. Helpers of mount leave processes behind: they must not keep the lock, nor a pipe that is waited for. A disk
# may replay a long journal from a lazily loaded volume, so only network file systems have a limit.
mount_now() {
  limit=''
  if [ "$type" != EBS ]; then limit='timeout 150'; fi
  output=$(mktemp /run/rapid-recovery-mount.XXXXXX)
  # shellcheck disable=SC2086 # two words, or none
  if $limit mount "$@" >"$output" 2>&1 9>&-; then return 0; else code=$?; fi
  if [ "$code" -eq 124 ]; then try_again mount-timeout "no answer in 150 s: $(cat "$output")"; fi
  refuse mount-failed "mount $*: $(cat "$output")"
}

# Whether the path is mounted from what was asked for.
is_mounted() {
  from=$(mounted_from)
  case $type in
    EBS) same_device "$from" "$device" ;;
    EFS) if [ "$used_transport" = nfs ]; then is_known_address "$from"; else is_tunnel "$from"; fi ;;
    # The kernel shows the address of the server in place of its name.
    LUSTRE) [ -n "$from" ] && [ "${from##*:/}" = "$export_path" ] && is_address_of "${from%%@*}" ;;
    *) [ "$from" = "$spec" ] ;;
  esac
}

is_known_address() {
  for address in $addresses; do
    if [ "$1" = "${address##*=}:${export_path:-/}" ]; then return 0; fi
  done
  return 1
}

# efs-utils mounts from a local port. Its state file names file system, path and access point.
is_tunnel() {
  case $1 in 127.0.0.1:* | localhost:*) ;; *) return 1 ;; esac
  [ "${1#*:}" = "${export_path:-/}" ] || return 1
  known=''
  for state in "$efs_state"/fs-*."$(echo "${path#/}" | tr / .)".*; do
    if ! matches "${state##*.}" '[0-9]+' || [ ! -f "$state" ]; then continue; fi
    known=yes
    file=${state##*/}
    named=$(grep -o '"accessPoint": *"[^"]*"' "$state" | sed 's/.*"\(.*\)"$/\1/') || named=''
    if [ "${file%%.*}" = "$source" ] && [ "$named" = "$access_point" ]; then return 0; fi
  done
  # Without a state file, the line that this script wrote with this mount.
  [ -z "$known" ] && grep -Fqx "$marker $source" "$fstab" 2>/dev/null && [ "$(fstab_line ours)" = "$line" ]
}

# Whether the path shows what was asked for by another way of EFS: its directory, or an access point to it. Both are then
# the same file of the same file system.
shows_same_directory() {
  if [ "$type" != EFS ] || [ "$used_transport" = nfs ]; then return 1; fi
  case $(mounted_from) in 127.0.0.1:* | localhost:*) ;; *) return 1 ;; esac
  named=''
  for state in "$efs_state"/fs-*."$(echo "${path#/}" | tr / .)".*; do
    if matches "${state##*.}" '[0-9]+' && [ -f "$state" ]; then
      file=${state##*/}
      named="$named ${file%%.*}"
    fi
  done
  [ "$named" = " $source" ] || return 1
  mount_apart
  wanted=$(stat -c %i "$scratch") || wanted=''
  unmount_apart
  [ -n "$wanted" ] && [ "$(stat -c %i "$path")" = "$wanted" ]
}

# Mounts an EFS file system read-only, apart from every path in use. Sets scratch.
mount_apart() {
  scratch=$(mktemp -d /run/rapid-recovery-efs.XXXXXX)
  mount_now -t "$kind" -o "ro,$options" "$spec" "$scratch"
}

unmount_apart() {
  if ! error=$(umount "$scratch" 2>&1 9>&-); then try_again script-failed "umount $scratch: $error"; fi
  rmdir "$scratch"
}

is_address_of() {
  [ "$1" = "$source" ] || getent ahosts "$source" 2>/dev/null | awk -v wanted="$1" '$1 == wanted { found = 1 } END { exit !found }'
}

# Mounts at the path, at each boot too, and checks it. $1: type, $2: options of both, $3: options of fstab only.
mount_at_path() {
  line="$spec $path $1 $2,$3 0 0"
  if [ -n "$(mounted_from)" ]; then
    if ! is_mounted; then
      shows_same_directory || refuse path-mounted-from-other "$path is mounted from $(mounted_from)"
      # What mounted it wrote the line, too.
      result already-mounted '' ''
      return
    fi
    write_fstab "$line"
    keep_fstab
    result already-mounted '' ''
    return
  fi
  if [ "$type" = EBS ]; then
    elsewhere=$(findmnt -nro TARGET -S "$device" | head -n 5 | tr '\n' ' ') || elsewhere=''
    [ -z "$elsewhere" ] || refuse device-mounted-elsewhere "$device is mounted at $elsewhere"
  fi
  check_free
  write_fstab "$line"
  mkdir -p "$path"
  mount_now -t "$1" -o "$2" "$spec_now" "$path"
  # A unit of systemd that does not fit unmounts the path within moments.
  sleep 1
  is_mounted || try_again mount-undone "$path is mounted from: $(mounted_from)"
  keep_fstab
  result mounted '' ''
}

# ---- types ------------------------------------------------------------------------------------------------------

helper() {
  command -v "$1" >/dev/null || refuse tool-missing "$1 (package $2)"
}

mount_ebs() {
  find_disk
  find_file_system "$disk"
  holders=$(ls "/sys/class/block/$(basename "$(readlink -f "$device")")/holders" 2>/dev/null || true)
  [ -z "$holders" ] || refuse device-in-use "$device is used by $(one_line "$holders")"
  name_device
  spec_now=$device
  mount_at_path "$file_system" "$options" nofail
}

# Sets address: the mount target of this instance's zone, or else the first one.
choose_address() {
  address=''
  for each in $addresses; do
    if [ -z "$address" ]; then address=${each##*=}; fi
  done
  case $addresses in *=*) zone=$(zone_of_instance) ;; *) zone='' ;; esac
  for each in $addresses; do
    if [ -n "$zone" ] && [ "${each%%=*}" = "$zone" ]; then address=${each##*=}; fi
  done
}

zone_of_instance() {
  metadata=http://169.254.169.254/latest
  token=$(curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/api/token" 2>/dev/null) || return 0
  curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/placement/availability-zone" 2>/dev/null || true
}

# Sets spec, used_transport, kind and options of an EFS file system.
name_efs() {
  choose_address
  used_transport=$transport
  if [ "$transport" = auto ]; then
    if command -v mount.efs >/dev/null; then used_transport=tls; else used_transport=nfs; fi
  fi
  if [ "$used_transport" = nfs ]; then
    # An access point exists over TLS only. Without Export, the wrong directory would be mounted.
    if [ -n "$access_point" ] && [ -z "$export_path" ]; then refuse tool-missing "mount.efs (package amazon-efs-utils), for the access point"; fi
    access_point=''
    helper mount.nfs4 'nfs-utils or nfs-common'
    [ -n "$address" ] || refuse address-missing "NFS needs the address of a mount target"
    kind=nfs4 spec=$address:${export_path:-/}
    options=nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport
    return
  fi
  helper mount.efs amazon-efs-utils
  # The path of an access point is part of it.
  if [ -n "$access_point" ]; then export_path=''; fi
  kind=efs spec=$source:${export_path:-/} options=tls
  if [ "$used_transport" = tls-iam ]; then options=$options,iam; fi
  if [ -n "$access_point" ]; then options=$options,accesspoint=$access_point; fi
  if [ -n "$address" ]; then options=$options,mounttargetip=$address; fi
  options=$options,noresvport
}

mount_efs() {
  if [ "$operation" = mount-restored ] && [ -z "$export_path$access_point" ]; then
    find_directory
    export_path=$directory
  fi
  name_efs
  spec_now=$spec
  mount_at_path "$kind" "$options" _netdev,nofail
}

# Sets directory: that of the restore, which no API names.
find_directory() {
  export_path='' access_point=''
  name_efs
  mount_apart
  names=$(find "$scratch" -mindepth 1 -maxdepth 1 -name 'aws-backup-*' -exec basename {} \; | sort)
  unmount_apart
  restored=$(echo "$names" | grep '^aws-backup-restore_') || restored=''
  case $(count "$restored") in
    0) refuse no-restored-directory "directories of AWS Backup: $(one_line "$names")" ;;
    1) ;;
    *) refuse several-restored-directories "$(one_line "$restored")" ;;
  esac
  matches "$restored" '[0-9A-Za-z._:-]{1,99}' || refuse several-restored-directories "an unexpected name: $restored"
  directory=/$restored
}

find_restored_directory() {
  find_directory
  result found '' "directories of AWS Backup: $(one_line "$names")"
}

mount_fsx() {
  [ -n "$export_path" ] || refuse export-missing "$type"
  case $type in
    LUSTRE)
      helper mount.lustre lustre-client
      spec=$source@tcp:/$export_path spec_now=$spec
      mount_at_path lustre relatime,flock _netdev,nofail ;;
    OPENZFS)
      helper mount.nfs 'nfs-utils or nfs-common'
      spec=$source:$export_path spec_now=$spec
      mount_at_path nfs nfsvers=4.2,rsize=1048576,wsize=1048576,timeo=600 _netdev,nofail ;;
    ONTAP)
      helper mount.nfs 'nfs-utils or nfs-common'
      spec=$source:$export_path spec_now=$spec
      mount_at_path nfs defaults _netdev,nofail ;;
    WINDOWS)
      helper mount.cifs cifs-utils
      spec=//$source/$export_path spec_now=$spec
      mount_at_path cifs vers=3.0,sec=krb5,cruid=0 _netdev,nofail ;;
  esac
}

check_parameters
# One run at a time, because runs change one fstab. No child may keep the lock: see mount_now.
exec 9>"$lock"
flock -w 300 9 || try_again busy "another run of this script holds $lock"
if [ "$operation" != find-restored-directory ]; then check_path; fi
case $operation:$type in
  find-restored-directory:*) find_restored_directory ;;
  *:EBS) mount_ebs ;;
  *:EFS) mount_efs ;;
  *) mount_fsx ;;
esac
