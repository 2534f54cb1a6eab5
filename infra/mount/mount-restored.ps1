# Makes a restored file system available at a drive letter or folder of this instance, now and after each start.
#
# The Command document MountRestored runs this file (docs/mount.md). It reads its parameters from variables SSM_*,
# and ends with one line: RESULT and a JSON object. Exit code 0: mounted; 2: refused; 3: try again later.
# It initializes, formats, repairs, relabels and hides nothing. What is ambiguous is refused.
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$operation = if ($env:SSM_Operation) { $env:SSM_Operation } else { 'mount' }
$type = [string]$env:SSM_Type
$source = [string]$env:SSM_Source
$path = [string]$env:SSM_Path
$share = [string]$env:SSM_Export
$waitSeconds = if ($env:SSM_WaitSeconds) { $env:SSM_WaitSeconds } else { '120' }
$device = ''
$fileSystem = ''
$mountedFrom = ''

$remedies = @{
    'parameter-invalid' = 'Correct the parameter, and run it again.'
    'not-on-windows' = 'Mount it on a Linux instance.'
    'device-not-found' = 'Attach the volume to this instance, and run it again. On Xen, mount it by hand.'
    'device-ambiguous' = 'Find the disk of the volume by hand, and mount it by hand.'
    'device-mounted-elsewhere' = 'Use the path at which it is mounted, or unmount it there, and run it again.'
    'disk-collision' = 'Detach the other disk with this signature, and run it again. Windows would write a new signature.'
    'no-file-system' = 'Check that the recovery point holds data. Restore another recovery point. Do not format the volume.'
    'several-file-systems' = 'Mount the correct partition by hand. A root volume is started as an instance instead.'
    'encrypted' = 'Open the device with its key (cryptsetup, BitLocker), and mount it by hand.'
    'raid-member' = 'Attach all members of the array, assemble it, and mount it by hand.'
    'path-invalid' = 'Choose an absolute path without links, and run it again.'
    'path-symlink' = 'Pass the path that the link points to, and run it again.'
    'path-not-directory' = 'Choose another path, or move the file away, and run it again.'
    'path-not-empty' = 'Move the files away, or choose another path, and run it again. A mount would hide them.'
    'path-mounted-from-other' = 'Unmount what is mounted there, or choose another path, and run it again.'
    'export-missing' = 'Pass Export: the mount name, volume path, junction path or share.'
    'mount-failed' = 'Read the error, and mount it by hand. Restore another recovery point if it is damaged.'
    'mount-undone' = 'Check the System event log, and run it again.'
    'script-failed' = 'Read the output above, and mount it by hand.'
}

# Ends with the result: outcome, reason, and what was found.
function Exit-WithResult([string]$Outcome, [string]$Reason, [string]$Found, [int]$Code) {
    $result = [ordered]@{ outcome = $Outcome }
    $remedy = if ($Reason) { $remedies[$Reason] } else { '' }
    $members = [ordered]@{
        reason = $Reason; type = $type; source = $source; path = $path; device = $device; fileSystem = $fileSystem
        mountedFrom = $mountedFrom; found = $Found; remedy = $remedy
    }
    foreach ($name in $members.Keys) {
        $value = [string]$members[$name]
        if ($value) { $result[$name] = $value.Substring(0, [Math]::Min($value.Length, 1500)) -replace '[^ -~]', '?' }
    }
    if ($Code -eq 0) { $result['persistent'] = 'windows' }
    [Console]::Out.WriteLine('RESULT ' + (ConvertTo-Json -Compress -InputObject $result))
    exit $Code
}

function Deny([string]$Reason, [string]$Found) { Exit-WithResult 'refused' $Reason $Found 2 }
function Request-Retry([string]$Reason, [string]$Found) { Exit-WithResult 'retry' $Reason $Found 3 }

# Checks a parameter again, because people run this file by hand. -cmatch: upper and lower case differ.
function Assert-Parameter([string]$Name, [string]$Value, [string]$Pattern) {
    if ($Value -cnotmatch "\A(?:$Pattern)\z") { Deny 'parameter-invalid' $Name }
}

# The only disk whose serial is the id of the volume. It appears some seconds after the attachment.
function Find-Disk {
    $serial = 'vol' + $source.Substring(4)
    for ($waited = 0; ; $waited++) {
        $disks = @(Get-Disk | Where-Object { ([string]$_.SerialNumber).Trim() -match "\A$serial(?:_.*)?\z" })
        if ($disks.Count -eq 1) { return $disks[0] }
        if ($disks.Count -gt 1) { Deny 'device-ambiguous' ('disks ' + (($disks | ForEach-Object { $_.Number }) -join ', ')) }
        if ($waited -ge [int]$waitSeconds) { Request-Retry 'device-not-found' "no disk for $source after $waited s" }
        Start-Sleep -Seconds 1
    }
}

# The only partition with a file system. What Windows itself needs (Reserved, System, Recovery) does not count.
function Find-Partition($Disk) {
    $data = @()
    foreach ($partition in @(Get-Partition -DiskNumber $Disk.Number -ErrorAction SilentlyContinue)) {
        if ($partition.Type -in 'Reserved', 'System', 'Recovery') { continue }
        if ($partition.Type -match 'LDM' -or [string]$partition.GptType -eq '{e75caf8f-f680-4cee-afa3-b001e56efc2d}') {
            Deny 'raid-member' "partition $($partition.PartitionNumber) of disk $($Disk.Number): $($partition.Type)"
        }
        $data += $partition
    }
    if ($data.Count -eq 0) { Deny 'no-file-system' "disk $($Disk.Number) has no partition for data" }
    if ($data.Count -gt 1) {
        Deny 'several-file-systems' ('partitions ' + (($data | ForEach-Object { $_.PartitionNumber }) -join ', '))
    }
    return $data[0]
}

function Get-FileSystem($Partition) {
    $volume = Get-Volume -Partition $Partition -ErrorAction SilentlyContinue
    $found = if ($volume) { [string]$volume.FileSystem } else { '' }
    if ($found -in 'NTFS', 'ReFS') { return $found }
    # The first sector of a locked BitLocker volume is BitLocker's, and shows no file system.
    if ($volume -and (Get-Command Get-BitLockerVolume -ErrorAction SilentlyContinue)) {
        $locked = Get-BitLockerVolume -MountPoint $volume.Path -ErrorAction SilentlyContinue
        if ($locked -and [string]$locked.LockStatus -eq 'Locked') { Deny 'encrypted' "BitLocker on $device" }
    }
    Deny 'no-file-system' "file system '$found' on $device"
}

# Paths as Windows writes them: X:\ or X:\folder\.
function Get-AccessPaths($Partition) {
    $now = Get-Partition -DiskNumber $Partition.DiskNumber -PartitionNumber $Partition.PartitionNumber
    return @($now.AccessPaths | Where-Object { $_ -match '\A[A-Z]:\\' })
}

function Assert-FreePath([string]$Wanted) {
    if ($path -match '\A[A-Z]:\z') {
        if (Test-Path -LiteralPath $Wanted) { Deny 'path-mounted-from-other' "$path is in use" }
        if (Get-SmbGlobalMapping -LocalPath $path -ErrorAction SilentlyContinue) { Deny 'path-mounted-from-other' "$path is a share" }
        return
    }
    if (-not (Test-Path -LiteralPath $Wanted)) {
        New-Item -ItemType Directory -Path $Wanted | Out-Null
        return
    }
    $item = Get-Item -LiteralPath $Wanted -Force
    if (-not $item.PSIsContainer) { Deny 'path-not-directory' "$path is a file" }
    if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { Deny 'path-symlink' "$path is a link or a mount" }
    $entries = @(Get-ChildItem -LiteralPath $Wanted -Force | Select-Object -First 5 -ExpandProperty Name)
    if ($entries.Count) { Deny 'path-not-empty' "$path has: $($entries -join ' ')" }
}

function Mount-Volume {
    Assert-Parameter 'Source' $source 'vol-[0-9a-f]{8,40}'
    Assert-Parameter 'Path' $path '[A-Z]:(?:/[0-9A-Za-z._@+=-]+)*'
    if ($path -match '/\.{1,2}(?:/|\z)') { Deny 'path-invalid' $path }
    $wanted = $path.Replace('/', '\') + '\'
    $disk = Find-Disk
    $script:device = "disk $($disk.Number)"
    if ($disk.PartitionStyle -eq 'RAW') { Deny 'no-file-system' "$device has no partition table" }
    if ($disk.IsOffline) {
        # To bring it online, Windows would write a new signature.
        if ([string]$disk.OfflineReason -eq 'Collision') { Deny 'disk-collision' $device }
        Set-Disk -Number $disk.Number -IsOffline $false
    }
    if ((Get-Disk -Number $disk.Number).IsReadOnly) { Set-Disk -Number $disk.Number -IsReadOnly $false }
    $partition = Find-Partition $disk
    $script:device = "disk $($disk.Number) partition $($partition.PartitionNumber)"
    $script:fileSystem = Get-FileSystem $partition
    $script:mountedFrom = $source
    $paths = Get-AccessPaths $partition
    if ($paths -contains $wanted) { Exit-WithResult 'already-mounted' '' '' 0 }
    if ($paths.Count) { Deny 'device-mounted-elsewhere' ($paths -join ' ') }
    Assert-FreePath $wanted
    try {
        Add-PartitionAccessPath -DiskNumber $disk.Number -PartitionNumber $partition.PartitionNumber -AccessPath $wanted
    } catch {
        Deny 'mount-failed' $_.Exception.Message
    }
    Start-Sleep -Seconds 1
    if ((Get-AccessPaths $partition) -notcontains $wanted) { Request-Retry 'mount-undone' "$device is not at $path" }
    Exit-WithResult 'mounted' '' '' 0
}

# A mapping for all users: Systems Manager runs this as SYSTEM, whose own drive letters nobody else sees.
function Mount-Share {
    Assert-Parameter 'Source' $source '[0-9A-Za-z][0-9A-Za-z.-]{0,253}'
    Assert-Parameter 'Path' $path '[A-Z]:'
    if (-not $share) { Deny 'export-missing' $type }
    $remote = "\\$source\$($share.Replace('/', '\'))"
    $script:mountedFrom = $remote
    $mapping = Get-SmbGlobalMapping -LocalPath $path -ErrorAction SilentlyContinue
    if ($mapping) {
        if ([string]$mapping.RemotePath -eq $remote) { Exit-WithResult 'already-mounted' '' '' 0 }
        Deny 'path-mounted-from-other' "$path is $($mapping.RemotePath)"
    }
    Assert-FreePath "$path\"
    try {
        New-SmbGlobalMapping -LocalPath $path -RemotePath $remote -Persistent $true | Out-Null
    } catch {
        Deny 'mount-failed' $_.Exception.Message
    }
    Start-Sleep -Seconds 1
    if (-not (Get-SmbGlobalMapping -LocalPath $path -ErrorAction SilentlyContinue)) { Request-Retry 'mount-undone' "no mapping of $path" }
    Exit-WithResult 'mounted' '' '' 0
}

try {
    Assert-Parameter 'Type' $type 'EBS|EFS|LUSTRE|OPENZFS|ONTAP|WINDOWS'
    Assert-Parameter 'WaitSeconds' $waitSeconds '[0-9]{1,3}'
    Assert-Parameter 'Export' $share '|[0-9A-Za-z._/$:+=@-]{1,255}'
    if ($operation -notin 'mount', 'mount-restored') { Deny 'not-on-windows' "operation $operation" }
    switch ($type) {
        'EBS' { Mount-Volume }
        'WINDOWS' { Mount-Share }
        'ONTAP' { Mount-Share }
        default { Deny 'not-on-windows' $type }
    }
} catch {
    Request-Retry 'script-failed' $_.Exception.Message
}
