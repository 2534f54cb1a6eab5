"""The Command document that runs the scripts, the runbook that sends it, and the scripts' lint."""

import json
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tree_sitter
import tree_sitter_powershell
import yaml
from guest import PATH, SCRIPT, VOLUME, Guest, reasons

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
POWERSHELL = SCRIPT.with_suffix(".ps1")
DOCUMENT = yaml.safe_load((PROJECT / "infra/runbooks/mount-restored.yaml").read_text())
RUNBOOK = yaml.safe_load((PROJECT / "infra/runbooks/mount-file-system.yaml").read_text())
LINUX, WINDOWS = DOCUMENT["mainSteps"]
GUIDE = (PROJECT / "docs/mount.md").read_text()
# Systems Manager's quota for a document.
LARGEST_DOCUMENT = 64 * 1024


def copier() -> ModuleType:
    """The program that copies the scripts into the document."""
    loader = SourceFileLoader("copier", str(SCRIPT.with_name("copy-into-document")))
    module = module_from_spec(spec_from_loader("copier", loader))  # type: ignore[arg-type]
    loader.exec_module(module)
    return module


def test_the_document_holds_the_scripts_as_they_are() -> None:
    assert LINUX["inputs"]["runCommand"][1] == SCRIPT.read_text(), "run infra/mount/copy-into-document"
    assert WINDOWS["inputs"]["runCommand"][1] == POWERSHELL.read_text(), "run infra/mount/copy-into-document"
    text = (PROJECT / "infra/runbooks/mount-restored.yaml").read_text()
    assert copier().with_copies(text) == text
    assert copier().with_copies(text.replace("set -eu", "set -u")) == text


def test_systems_manager_takes_the_document() -> None:
    assert DOCUMENT["schemaVersion"] == "2.2"
    assert len(json.dumps(DOCUMENT)) < LARGEST_DOCUMENT
    assert [(step["action"], step["precondition"]) for step in DOCUMENT["mainSteps"]] == [
        ("aws:runShellScript", {"StringEquals": ["platformType", "Linux"]}),
        ("aws:runPowerShellScript", {"StringEquals": ["platformType", "Windows"]}),
    ]
    # Systems Manager would replace what stands in double braces.
    assert "{{" not in SCRIPT.read_text() + POWERSHELL.read_text()
    assert SCRIPT.read_bytes().isascii() and POWERSHELL.read_bytes().isascii()


def test_the_first_lines_set_every_parameter_and_nothing_else() -> None:
    names = list(DOCUMENT["parameters"])
    assert LINUX["inputs"]["runCommand"][0].splitlines()[1:] == [
        f"if [ -z \"${{SSM_{name}+x}}\" ]; then export SSM_{name}='{{{{ {name} }}}}'; fi" for name in names
    ]
    assert WINDOWS["inputs"]["runCommand"][0].splitlines() == [
        f"if (-not (Test-Path Env:SSM_{name})) {{ $env:SSM_{name} = '{{{{ {name} }}}}' }}" for name in names
    ]
    used = set(re.findall(r"SSM_([A-Za-z]+)", SCRIPT.read_text() + POWERSHELL.read_text()))
    assert used == set(names)


@pytest.mark.parametrize("agent", ["sets variables", "replaces braces"])
def test_the_commands_of_the_document_mount_a_volume(guest: Guest, agent: str) -> None:
    disk = guest.ext4()
    given = {name: parameter.get("default", "") for name, parameter in DOCUMENT["parameters"].items()}
    given |= {"Type": "EBS", "Source": VOLUME, "Path": PATH}
    commands = "\n".join(LINUX["inputs"]["runCommand"])
    if agent == "replaces braces":
        for name, value in given.items():
            commands = commands.replace(f"{{{{ {name} }}}}", value)
    script = guest.folder / "_script.sh"
    script.write_text(commands)
    answer = guest.run(
        script, {f"SSM_{name}": value for name, value in given.items()} if agent == "sets variables" else {}
    )
    assert answer.outcome == "mounted" and guest.source() == disk, answer.output


HOSTILE = ("'", '"', "`id`", "$(id)", "a;b", "a|b", "a&b", "a\nb", "a>b", "\\", "a*", "{{ ssm:x }}", "é", "a" * 5000)


@pytest.mark.parametrize("name", DOCUMENT["parameters"])
def test_no_parameter_admits_code(name: str) -> None:
    parameter = DOCUMENT["parameters"][name]
    assert (parameter["type"], parameter["interpolationType"]) == ("String", "ENV_VAR")
    if "allowedValues" in parameter:
        assert all(re.fullmatch("[a-zA-Z-]+", value) for value in parameter["allowedValues"])
        return
    pattern = parameter["allowedPattern"]
    assert pattern.startswith("^") and pattern.endswith("$") and pattern.count("^") == 1
    admitted = [value for value in HOSTILE if re.fullmatch(pattern[1:-1], value)]
    # The addresses of many zones may be long.
    assert admitted == (["a" * 5000] if name == "Addresses" else [])
    assert "default" not in parameter or re.fullmatch(pattern[1:-1], parameter["default"])


def test_the_runbook_passes_every_parameter_under_the_same_rules() -> None:
    wanted = {
        name: {key: value for key, value in parameter.items() if key != "interpolationType"}
        for name, parameter in DOCUMENT["parameters"].items()
    }
    given = dict(RUNBOOK["parameters"])
    assert given.pop("InstanceIds")["type"] == "StringList"
    assert {name: given.pop(name)["default"] for name in ("InstanceTag", "Notify")} == {
        "InstanceTag": "",
        "Notify": "none",
    }
    # An ARN is replaced by what the document takes, and so is the type with it.
    own_type, own_source = given.pop("Type"), given.pop("Source")
    assert own_type["allowedValues"] == ["auto", *DOCUMENT["parameters"]["Type"]["allowedValues"]]
    without_arn = DOCUMENT["parameters"]["Source"]["allowedPattern"].removesuffix(")$")
    assert own_source["allowedPattern"].startswith(f"{without_arn}|arn:")
    assert given == {name: parameter for name, parameter in wanted.items() if name not in ("Type", "Source")}
    (mount,) = (step for step in RUNBOOK["mainSteps"] if step["name"] == "mount")
    assert mount["inputs"]["InputPayload"]["parameters"] == {name: f"{{{{ {name} }}}}" for name in wanted}
    assert all(f'"{step["name"]}"' in mount["inputs"]["Script"] for step in DOCUMENT["mainSteps"])


@pytest.mark.parametrize("name", ["InstanceTag", "Source"])
def test_no_parameter_of_the_runbook_admits_code(name: str) -> None:
    pattern = RUNBOOK["parameters"][name]["allowedPattern"]
    assert pattern.startswith("^(") and pattern.endswith(")$")
    for value in HOSTILE:
        assert not re.fullmatch(pattern[1:-1], value), value
        # Nor behind something that is taken.
        assert not re.fullmatch(pattern[1:-1], f"arn:aws:ec2:eu-west-1:111122223333:volume/{value}"), value
        assert not re.fullmatch(pattern[1:-1], f"role={value}"), value
    # EC2 would take them for any text.
    assert not re.fullmatch(RUNBOOK["parameters"]["InstanceTag"]["allowedPattern"][1:-1], "role=*")


def test_the_runbook_takes_the_arns_of_restored_file_systems() -> None:
    pattern = RUNBOOK["parameters"]["Source"]["allowedPattern"]
    events = [json.loads(path.read_text()) for path in (PROJECT / "events").glob("restore-completed-*.json")]
    created = {
        event["detail"]["resourceType"]: event["detail"]["createdResourceArn"]
        for event in events
        if event["detail"].get("createdResourceArn")
    }
    taken = {kind for kind, arn in created.items() if re.fullmatch(pattern[1:-1], arn)}
    assert taken == {"EBS", "EFS", "FSx"} and len(created) > 5
    volume = "arn:aws-us-gov:fsx:us-gov-west-1:111122223333:volume/fs-0123456789abcdef0/fsvol-0123456789abcdef0"
    assert re.fullmatch(pattern[1:-1], volume)


def test_the_shell_script_passes_shellcheck() -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck, "install .ci/requirements-mount.txt"
    for script in (SCRIPT, HERE / "user-mode-linux-init"):
        done = subprocess.run([shellcheck, str(script)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


# ---- Windows --------------------------------------------------------------------------------------------------------


def nodes(kind: str) -> list[str]:
    """The texts of the nodes of a kind in the PowerShell script."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    found: list[Any] = []

    def walk(node: Any) -> None:
        if node.type == kind or (kind == "ERROR" and node.is_missing):
            found.append(node.text.decode())
        for child in node.children:
            walk(child)

    walk(parser.parse(POWERSHELL.read_bytes()).root_node)
    return found


def test_the_powershell_script_parses() -> None:
    assert nodes("ERROR") == []


def test_the_powershell_script_changes_nothing_but_these() -> None:
    commands = set(nodes("command_name"))
    own = {name.split()[1].split("(")[0] for name in nodes("function_statement")}
    reads = {
        name for name in commands if name.startswith(("Get-", "Test-", "Select-", "Where-", "ForEach-", "ConvertTo-"))
    }
    assert commands - own - reads == {
        "Add-PartitionAccessPath",
        "New-Item",
        "New-SmbGlobalMapping",
        "Out-Null",
        "Set-Disk",
        "Set-StrictMode",
        "Start-Sleep",
    }
    text = POWERSHELL.read_text()
    assert re.findall(r"Set-Disk .*", text) == [
        "Set-Disk -Number $disk.Number -IsOffline $false",
        "Set-Disk -Number $disk.Number -IsReadOnly $false }",
    ]


def windows_reasons() -> dict[str, str]:
    """The refusals on Windows, with their remedies."""
    table = re.search(r"^\$remedies = @\{\n(.*?)^\}", POWERSHELL.read_text(), re.DOTALL | re.MULTILINE)
    assert table
    return dict(re.findall(r"^    '([a-z-]+)' = '(.*)'$", table[1], re.MULTILINE))


def test_every_refusal_on_windows_has_a_remedy_and_every_remedy_a_refusal() -> None:
    used = set(re.findall(r"\b(?:Deny|Request-Retry) '([a-z-]+)'", POWERSHELL.read_text()))
    assert used == set(windows_reasons())


# ---- the guide ------------------------------------------------------------------------------------------------------


def runbook_reasons() -> dict[str, str]:
    """What the runbook itself answers, with its remedies."""
    scripts = "\n".join(step["inputs"]["Script"] for step in RUNBOOK["mainSteps"])
    return dict(re.findall(r'"reason": "([a-z-]+)",.*?"remedy": "(.*?)"', scripts, re.DOTALL))


def rows(heading: str) -> dict[str, str]:
    """The reasons and remedies of the table below a heading of the guide."""
    section = re.search(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", GUIDE, re.DOTALL | re.MULTILINE)
    assert section, heading
    return {row[0]: row[1] for row in re.findall(r"^\| `([a-z-]+)` \| .* \| (.*) \|$", section[1], re.MULTILINE)}


@pytest.mark.parametrize(
    ("heading", "answers"),
    [("On Linux", reasons), ("On Windows", windows_reasons), ("Of the runbook", runbook_reasons)],
)
def test_the_guide_lists_every_refusal_with_its_remedy(heading: str, answers: Any) -> None:
    assert rows(heading) == answers()


def test_the_guide_lists_every_parameter() -> None:
    section = GUIDE.split("## Parameters")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([A-Za-z]+)` \|", section, re.MULTILINE) == list(RUNBOOK["parameters"])
