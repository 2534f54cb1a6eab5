"""The local Region: an AWS Region on loopback, for people and machines without an AWS account.

`ministack` imitates most of AWS; this package runs it in its own process and adds what recovery from
backups needs and ministack lacks. Read it in this order:

- `__main__`: the two commands, `serve` and `deploy`.
- `serve`: one process from its first socket to the end of its last function.
- `region`: which pieces make up a Region, and what each is given.
- one file per AWS concept: `event_bus`, `event_targets`, `functions`, `volumes`, `instances`, `databases`,
  `tables`, `efs`, `fsx`, `schedules`, `recovery_points`, `restore_jobs`, `ops_items`, `runbooks`,
  `stack_resources`, ...
- `backup_types`: what AWS Backup knows of each type of resource, with one file `<type>_backups` for each.
- `journal`, `control` and `faults`: how a tester sees what happened, and plays the part of AWS itself.
- `seams`: every private name of ministack this package relies on, checked at start.
"""
