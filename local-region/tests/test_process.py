"""The serving process: its sockets, its environment, and its end."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from running_region import ACCOUNT, PACKAGE, REGION, RunningRegion

TEMPLATE = Path(__file__).parent / "templates" / "functions.yaml"


def children(pid: int) -> list[int]:
    """The running child processes of a process."""
    tasks = Path(f"/proc/{pid}/task")
    found = " ".join((task / "children").read_text() for task in tasks.iterdir())
    return [int(child) for child in found.split()]


def ended(pid: int) -> bool:
    """Whether a process is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def listening_sockets(pid: int) -> set[str]:
    """The local addresses, in hexadecimal, that a process listens on, in IPv4 and IPv6."""
    inodes = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1].split(":")[0])
    return found


@pytest.fixture
def busy(binaries: Path, tmp_path: Path) -> RunningRegion:
    """A separate Region with its files under `tmp_path` and a running function."""
    running = RunningRegion(environment={"TMPDIR": str(tmp_path)})
    stack = running.deploy(TEMPLATE, "functions", "--binaries", str(binaries), "--parameter", "Greeting=hello")
    running.client("lambda").invoke(FunctionName=stack["outputs"]["Function"])
    return running


@pytest.mark.parametrize("how", ["end of stdin", signal.SIGTERM, signal.SIGINT])
def test_leaves_no_process_and_no_file_behind(busy: RunningRegion, tmp_path: Path, how: object) -> None:
    functions = children(busy.process.pid)
    assert functions, "the function's process should be running"
    assert list(tmp_path.iterdir()), "the Region's files should be there"
    if how == "end of stdin":
        busy.process.stdin.close()
    else:
        busy.process.send_signal(how)
    assert busy.process.wait(timeout=15) == 0
    assert all(ended(pid) for pid in functions)
    assert list(tmp_path.iterdir()) == []


def test_ends_silently_whatever_its_clients_do(tmp_path: Path) -> None:
    with (tmp_path / "errors").open("w") as errors:
        running = RunningRegion(errors=errors)
    port = int(running.endpoint.rpartition(":")[2])
    ready = b"GET /_local-region/ready HTTP/1.1\r\nHost: region\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for client in clients:
        client.sendall(ready)
        assert client.recv(4096)
    # Some wait for a response, some have sent half a request, and the others are idle.
    asking, sending = clients[:5], clients[5:10]
    running.post("faults", [{"kind": "no-answer-after", "service": "ec2", "caller": "operator", "count": 5}])
    for client in asking:
        body = b"Action=DescribeVolumes&Version=2016-11-15"
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: region\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Authorization: AWS4-HMAC-SHA256 Credential=111122223333/20260101/us-west-2/ec2/aws4_request, "
            b"SignedHeaders=host, Signature=0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
    for client in sending:
        client.sendall(b"POST /_local-region/events HTTP/1.1\r\nHost: region\r\nContent-Length: 10\r\n\r\n[")
    running.wait_for(5, "call", lambda call: call["fault"] == "no-answer-after")
    assert running.stop() == 0
    for client in clients:
        client.close()
    assert (tmp_path / "errors").read_text() == ""


def test_listens_only_on_loopback(busy: RunningRegion) -> None:
    # 0100007F is 127.0.0.1; the function's runtime endpoint is the second socket.
    assert listening_sockets(busy.process.pid) == {"0100007F"}
    assert busy.stop() == 0


def test_prints_only_the_ready_line() -> None:
    running = RunningRegion()
    assert running.ready == {
        "ready": True,
        "endpoint": running.endpoint,
        "region": REGION,
        "account": ACCOUNT,
        "accessKeyId": ACCOUNT,
        "secretAccessKey": "local-region",
    }
    assert running.get("ready") == running.ready
    running.process.stdin.close()
    assert running.process.stdout.read() == ""
    assert running.process.wait(timeout=15) == 0


def test_ignores_the_users_aws_settings(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "[profile real]\nregion = eu-central-1\nrole_arn = arn:aws:iam::999988887777:role/real\n"
    )
    running = RunningRegion(
        environment={
            "AWS_PROFILE": "real",
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": "https://example.com",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "MINISTACK_ACCOUNT_ID": "999988887777",
            "GATEWAY_PORT": "1",
            "BIND_HOST": "0.0.0.0",
        }
    )
    topic = running.client("sns").create_topic(Name="here")["TopicArn"]
    assert topic == f"arn:aws:sns:{REGION}:{ACCOUNT}:here"
    assert running.client("sts").get_caller_identity()["Account"] == ACCOUNT
    assert running.stop() == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--account", ACCOUNT], "--region"),
        (["--region", REGION], "--account"),
        (["--region", "mars", "--account", ACCOUNT], "mars"),
        (["--region", REGION, "--account", "12"], "12 digits"),
    ],
)
def test_region_and_account_have_no_default(options: list[str], complaint: str) -> None:
    done = run_serve(options)
    assert done.returncode == 2 and complaint in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (["--restore-seconds-of", "rds=3"], "--restore-seconds-of must be one of EBS, RDS, Aurora"),
        (["--restore-seconds-of", "RDS"], "RDS is not TYPE=SECONDS"),
        (["--stack-seconds-of", "AWS::EC2::Nothing=3"], "there is no resource type AWS::EC2::Nothing"),
    ],
)
def test_rejects_unknown_types_by_name(option: list[str], complaint: str) -> None:
    done = run_serve(["--region", REGION, "--account", ACCOUNT, *option])
    assert done.returncode != 0 and complaint in done.stderr and "Traceback" not in done.stderr


def test_names_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_serve(["--region", REGION, "--account", ACCOUNT, "--port", str(port)])
    assert done.returncode == 1 and f"127.0.0.1:{port}" in done.stderr and "Traceback" not in done.stderr


def test_refuses_to_serve_an_incompatible_ministack(tmp_path: Path) -> None:
    # A module that is imported before ministack and changes two of its functions.
    (tmp_path / "sitecustomize.py").write_text(
        "import ministack.services.ec2 as ec2\ndel ec2._volume_inner_xml\nec2._attach_volume = lambda p, q: None\n"
    )
    done = run_serve(["--region", REGION, "--account", ACCOUNT], {"PYTHONPATH": f"{tmp_path}{os.pathsep}{PACKAGE}"})
    assert done.returncode == 1 and done.stdout == ""
    assert "ministack.services.ec2._volume_inner_xml is not there any more" in done.stderr
    assert "ministack.services.ec2._attach_volume takes (p, q), expected (p)" in done.stderr


def run_serve(options: list[str], environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `serve` until it exits."""
    return subprocess.run(
        [sys.executable, "-m", "local_region", "serve", *options],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)} | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_serves_another_region(tmp_path: Path) -> None:
    running = RunningRegion(region="eu-central-1")
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}))
    other = RunningRegion.run_deploy_to(running.endpoint, path, "topics")
    assert other.returncode == 1 and "is eu-central-1, not us-west-2" in other.stderr
    assert ":eu-central-1:" in running.client("sns").create_topic(Name="here")["TopicArn"]
    assert running.stop() == 0
