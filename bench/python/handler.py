"""The work of restore-integrator in Python with boto3, on a Runtime API loop of its own.

The clients are made once, at the start, as AWS's own guide for Python functions has it.
"""

import http.client
import json
import os
import time

import boto3

ec2 = boto3.client("ec2")
cloudformation = boto3.client("cloudformation")
ssm = boto3.client("ssm")


def handle(event):
    """Attach the volume that the restore made; answer as the function does."""
    detail = event["detail"]
    snapshot = detail["recoveryPointArn"].rsplit("/", 1)[-1]
    volume_id = detail["createdResourceArn"].rsplit("/", 1)[-1]
    found = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [snapshot]}])
    tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
    volume = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
    resource = cloudformation.describe_stack_resource(
        StackName=tags["recovery:stack"], LogicalResourceId=tags["recovery:logical-id"]
    )
    instance_id = resource["StackResourceDetail"]["PhysicalResourceId"]
    instances = ec2.describe_instances(InstanceIds=[instance_id])
    instance = instances["Reservations"][0]["Instances"][0]
    if volume["AvailabilityZone"] != instance["Placement"]["AvailabilityZone"]:
        raise RuntimeError("another zone")
    attachment = ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=tags["recovery:device"])
    while attachment["State"] != "attached":
        time.sleep(1)
        attachment = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["Attachments"][0]
    job = detail["restoreJobId"]
    item = ssm.create_ops_item(
        Title=f"Restored volume {volume_id} attached to {instance_id}",
        Description=f"Restore job {job}",
        Source="rapid-recovery",
        OperationalData={"/aws/dedup": {"Value": json.dumps({"dedupString": job}), "Type": "SearchableString"}},
    )
    return {"outcome": "integrated", "opsItemId": item["OpsItemId"]}


def main():
    """Take events from the Runtime API, one after the other."""
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    base = "/2018-06-01/runtime/invocation"
    while True:
        runtime.request("GET", f"{base}/next")
        invocation = runtime.getresponse()
        request_id = invocation.headers["Lambda-Runtime-Aws-Request-Id"]
        event = json.loads(invocation.read())
        try:
            answer, kind = handle(event), "response"
        except Exception as error:
            answer = {"errorType": type(error).__name__, "errorMessage": str(error)}
            kind = "error"
        runtime.request("POST", f"{base}/{request_id}/{kind}", json.dumps(answer))
        runtime.getresponse().read()


if __name__ == "__main__":
    main()
