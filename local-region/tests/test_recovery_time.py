"""A recovery takes the time that AWS imposes, and little more."""

import pytest
from recovery_stand_ins import Item, Recovery, Stack

MINUTE = 60


def mixed_workload(late: float) -> Recovery:
    """A stack, a database, volumes and a table. Everything is ready `late` seconds after a full minute."""
    stack = Stack(10 * MINUTE + late, {"SubnetGroup": MINUTE + late, "Server": 9 * MINUTE + late})
    subnets, server = ("shop", "SubnetGroup"), ("shop", "Server")
    items = [
        # A restore job of 15 minutes, and then instances for 10.
        Item("orders-db", "Aurora", 15 * MINUTE, 10 * MINUTE + late, subnets),
        # A restore job alone.
        Item("users-db", "RDS", 25 * MINUTE + late, 0, subnets),
        Item("data", "EBS", 4 * MINUTE + late, 10, server),
        Item("logs", "EBS", 4 * MINUTE, 10, server),
        Item("carts", "DynamoDB", 12 * MINUTE + late, 5),
    ]
    return Recovery({"shop": stack}, items)


def imposed(recovery: Recovery, item: Item) -> float:
    """How long an item takes at least, from the start of its stack."""
    began = recovery.stacks[item.needs[0]].resources[item.needs[1]] if item.needs else 0
    return began + item.restore_seconds + item.integrate_seconds


@pytest.mark.parametrize("late", [0, 1, 8, 14])
def test_recovery_takes_at_most_5_percent_longer_than_aws_imposes(late: float) -> None:
    recovery = mixed_workload(late)
    report = recovery.run()
    assert report["problems"] == [] and report["failOver"]
    began = recovery.stacks_created["shop"]
    least = {item.name: imposed(recovery, item) for item in recovery.items.values()}
    over = {name: recovery.integrated[name] - began - seconds for name, seconds in least.items()}
    assert all(0 <= over[name] <= max(30, least[name] / 20) for name in least), over
    # The complete recovery, with its plan, verification, fail over and report.
    path = max([*least.values(), recovery.stacks["shop"].seconds])
    assert recovery.clock.seconds - path <= max(30, path / 20), recovery.clock.seconds
