"""What this package relies on in ministack beyond its documented interface, checked before the Region starts.

ministack is not made to be extended: its functions are reached into by their private names. Its version is pinned
for that reason. When it changes, this file names what no longer fits.
"""

import importlib
import inspect
from importlib.metadata import version

MINISTACK_VERSION = "1.5.33"

# Functions: module, name, parameters.
FUNCTIONS = """
app                              _dispatch_service_request            method path headers body query_params request_id
app                              pin_request_origin                   source_ip secure_transport
app                              _routing_params                      method path headers body query_params
app                              _ct_event_name                       service method path headers query_params
core.arn                         parse_arn                            *
core.concurrency                 run_reentrant                        *
core.iam_actions                 _lambda_action                       method path
core.iam_actions                 _tag_operations                      service
core.iam_actions                 access_denied_response               service action principal_arn request_id error_code message headers resource_arn explicit_deny resource_policy_arn
core.iam_actions                 extract_iam_action                   *
core.iam_actions                 extract_resource_arn                 service method path headers body query_params region account_id
core.iam_actions                 request_tag_context                  service iam_action body params
core.iam_actions                 s3_service_context                   iam_action query_params path headers
core.iam_actions                 verified_access_resource_arns        query_params region account_id
core.iam_evaluator               enforce                              access_key_id iam_action service region resource_arn service_context
core.iam_evaluator               evaluate_resource_policy             doc ctx service named_only direct_only
core.lambda_runtime              execution_credentials                config
core.lambda_runtime              reset
core.lambda_runtime              _signal                              proc
core.lambda_runtime              ProvidedWorker._build_handler_class  self generation pending
core.lambda_runtime              ProvidedWorker.invoke                self event request_id trace_id invoked_function_arn
core.router                      detect_service                       method path headers query_params
core.router                      extract_access_key_id                *
core.router                      _documentdb_claims                   params
core.responses                   request_scope                        account_id region
services.alb                     _error                               code message status
services.alb                     _parse_member_list                   params prefix
services.autoscaling             _reconcile_instances                 asg
services.autoscaling             _p                                   params key
services.autoscaling             _error                               code message status
services.autoscaling             _instances_xml                       asg
services.autoscaling             _xml                                 status root_tag inner
services.backup                  _create_selection                    *
services.cloudformation.changesets   _resolve_parameters               template provided_params previous_params
services.cloudformation.handlers     _resolve_parameters               template provided_params previous_params
services.cloudformation.handlers     _describe_stack_resource         params
services.cloudformation.handlers     _error                           code message status
services.cloudformation.handlers     _p                               params key default
services.cloudformation.handlers     _resolve_stack                   stack_name
services.cloudformation.helpers  _p                                   params key default
services.cloudformation.helpers  _resolve_document                    params body_key url_key label
services.cloudformation.provisioners _asg_create                      logical_id props stack_name
services.cloudformation.provisioners _asg_update                      physical_id old_props new_props stack_name logical_id
services.cloudformation.provisioners _asg_delete                      physical_id props
services.cloudformation.provisioners _efs_put_file_system_policy     fs_id props
services.cloudformation.provisioners _efs_put_lifecycle_policies     fs_id policies
services.cloudformation.provisioners _efs_put_protection             fs_id protection
services.cloudformation.provisioners _ec2_sg_delete                  physical_id props
services.cloudformation.provisioners _physical_name                   *
services.cloudformation.stacks   _add_event                           stack_id stack_name logical_id resource_type status reason physical_id detailed_status
services.cloudformation.stacks   _runs_on_worker_thread               resource_type
services.dynamodb                _delete_table                        data
services.dynamodb                _table_description                   name
services.ec2                     _az_id_for_zone_name                 *
services.ec2                     _attach_volume                       p
services.ec2                     _create_volume                       p
services.ec2                     _delete_security_group               p
services.ec2                     _describe_instances                  p
services.ec2                     _describe_tags                       p
services.ec2                     _describe_volumes                    p
services.ec2                     _ensure_defaults_initialized
services.ec2                     _detach_volume                       p
services.ec2                     _error                               code message status
services.ec2                     _esc                                 *
services.ec2                     _glob_match                          pattern value
services.ec2                     _guess_resource_type                 resource_id
services.ec2                     _image_bdm_xml                       view
services.ec2                     _instance_xml                        inst
services.ec2                     _launch_instances_internal           image_id instance_type subnet_id count key_name user_data sg_ids requested_private_ip iam_profile
services.ec2                     _new_snapshot_id
services.ec2                     _new_volume_id
services.ec2                     _now_ts
services.ec2                     _p                                   params key default
services.ec2                     _parse_filters                       params
services.ec2                     _parse_member_list                   params prefix
services.ec2                     _parse_tags                          params
services.ec2                     _parse_tag_specs                     p resource_type resource_id
services.ec2                     _resource_matches_tag_filters        resource_id filters
services.ec2                     _run_instances                       p
services.ec2                     _start_instances                     p
services.ec2                     _stop_instances                      p
services.ec2                     _terminate_instances                 p
services.ec2                     _volume_inner_xml                    vol
services.ec2                     _xml                                 status root_tag inner
services.eventbridge             _apply_input_transformer             transformer rule view
services.eventbridge             _cron_next_fire                      fields after_dt
services.eventbridge             _disable_rule                        data
services.eventbridge             _dispatch_event                      event view
services.eventbridge             _dispatch_to_lambda                  arn payload
services.eventbridge             _enable_rule                         data
services.eventbridge             _events_log_list
services.eventbridge             _invoke_target                       target event rule view
services.eventbridge             _matches_pattern_view                pattern_str view owner
services.eventbridge             _parse_cron_fields                   expr
services.eventbridge             _pattern_event_view                  event
services.eventbridge             _rule_key                            rule_name bus_name
services.eventbridge             _validate_schedule_expression        expr
services.eventbridge             _validate_target_arn                 target
services.eventbridge             error_response_json                  *
services.eventbridge             start_scheduler
services.efs                     _put_file_system_policy              fs_id body
services.efs                     _replication_of                      fs_id
services.efs                     _update_file_system_protection       fs_id body
services.kms                     _resolve_key                         key_id_or_arn
services.lambda_svc              _execute_function_dispatch           func config event request_id started
services.lambda_svc              _execute_function_with_config_scope  func event
services.lambda_svc              _execution_record_for_config         func config
services.lambda_svc              _get_account_settings
services.lambda_svc              _get_func_record_for_ref             function_ref
services.lambda_svc              _provided_worker_env                 config code_dir port
services.lambda_svc              _runtime_env_vars                    config
services.lambda_svc              invoke_async_with_retry              func event
services.rds                     _create_subnet_group                 p
services.rds                     _create_option_group                 p
services.rds                     _delete_db_cluster_param_group       p
services.rds                     _delete_option_group                 p
services.rds                     _delete_param_group                  p
services.rds                     _delete_subnet_group                 p
services.rds                     _error                               *
services.rds                     _p                                   params key default
services.rds                     _resolve_subnet_group_members        subnet_ids
services.ssm                     _apply_filter                        param key option values
services.ssm                     _delete_parameters                   data
services.ssm                     _parameter_tag_arn                   resource_type resource_id
services.ssm                     _put_parameter                       data
services.s3                      _bucket_owner_enforced               bucket
services.s3                      _create_bucket                       name body headers endpoint_region
services.s3                      _delete_bucket                       name
services.s3                      _dispatch                            method bucket key headers body query_params
services.s3                      _error                               *
services.s3                      _parse_tags_xml                      body
services.s3                      _public_acl_refused                  bucket_name headers acl_xml
services.s3                      _put_bucket_encryption               name body
services.s3                      _put_bucket_ownership_controls       name body
services.s3                      _put_object                          bucket_name key body headers
services.s3                      _read_body                           bucket_name key obj
services.s3                      _stored_sse_headers                  obj
services.s3                      _version_body                        bucket bucket_name key v
services.s3                      _version_entry_from_record           obj version_id data
services.s3                      bucket_region                        name
services.sts                     register_session                     access_key session
services.sns                     _error                               code message status
services.sns                     _fanout                              topic_arn msg_id message subject message_structure message_attributes message_group_id message_dedup_id
services.sns                     _topic_by_arn_any_scope              *
services.sqs                     _act_send_message                    data qurl
services.sqs                     _queue_by_arn                        arn
services.tagging                 resource_tags                        arn
services.stepfunctions           _ExecutionError                      error cause
services.stepfunctions           _apply_input_path                    state_def data ctx
services.stepfunctions           _apply_output_path                   state_def data ctx
services.stepfunctions           _apply_parameters                    state_def data ctx
services.stepfunctions           _apply_result_path                   state_def original result
services.stepfunctions           _apply_result_path_raw               result_path original result
services.stepfunctions           _apply_result_selector               state_def data
services.stepfunctions           _describe_execution                  data
services.stepfunctions           _emit_execution_status_event         execution
services.stepfunctions           _execute_choice                      state_def raw_input ctx
services.stepfunctions           _execute_pass                        state_def raw_input ctx
services.stepfunctions           _fail_state_error                    state_def raw_input ctx
services.stepfunctions           _invoke_resource                     resource input_data
services.stepfunctions           _iso_to_epoch_ms                     iso
services.stepfunctions           _json_type                           value
services.stepfunctions           _jsonata_result_defined              expression bindings
services.stepfunctions           _parse_reader_items                  text config
services.stepfunctions           _parse_ts                            v
services.stepfunctions           _register_sfn_jsonata_functions      expr
services.stepfunctions           _resolve_params_obj                  template data ctx
services.stepfunctions           _resolve_path_or_ctx                 path data ctx
services.stepfunctions           _resolve_state_machine_arn           *
services.stepfunctions           _run_execution                       exec_arn
services.stepfunctions           _start_execution                     data
services.stepfunctions           _state_query_language                state_def ctx
services.stepfunctions           _stop_execution                      data
services.stepfunctions           _validate_definition_jsonata         definition_str
services.stepfunctions           error_response_json                  *
services.stepfunctions           json_response                        *
"""

# Stores and tables: module, name, and keys they must hold.
TABLES = """
app                              SERVICE_HANDLERS                     backup dynamodb elasticfilesystem rds sns sqs ssm
core.iam_actions                 SERVICE_TO_IAM_NAMESPACE             backup ec2
core.router                      SERVICE_PATTERNS                     ssm
services.alb                     _ACTION_MAP                          DescribeTargetGroups
services.alb                     _lbs
services.alb                     _tags
services.alb                     _targets
services.alb                     _tgs
services.autoscaling             _ACTION_MAP                          CompleteLifecycleAction DeleteAutoScalingGroup DescribeAutoScalingGroups StartInstanceRefresh
services.autoscaling             _asgs
services.autoscaling             _hooks
services.backup                  _plans
services.backup                  _selections
services.backup                  _vaults
services.cloudformation          _change_sets
services.cloudformation          _stacks
services.cloudformation.handlers     _ACTION_HANDLERS                 CreateChangeSet CreateStack DeleteStack DescribeStackResource DescribeStackResources DescribeStacks GetTemplateSummary ListStackResources UpdateStack ValidateTemplate
services.cloudformation.provisioners _RESOURCE_HANDLERS               AWS::AutoScaling::AutoScalingGroup AWS::DocDB::DBSubnetGroup AWS::EC2::SecurityGroup AWS::EC2::Subnet AWS::EFS::AccessPoint AWS::EFS::FileSystem AWS::EFS::MountTarget AWS::ElasticLoadBalancingV2::TargetGroup AWS::Events::Rule AWS::Logs::LogGroup AWS::RDS::DBSubnetGroup AWS::S3::Bucket AWS::SNS::Topic
services.cloudformation.provisioners _STACK_TAG_PROPERTY              AWS::AutoScaling::AutoScalingGroup
services.dynamodb                _kinesis_destinations
services.dynamodb                _pitr_settings
services.dynamodb                _resource_policies
services.dynamodb                _tables
services.dynamodb                _tags
services.dynamodb                _ttl_settings
services.ec2                     _ACTION_MAP                          AttachVolume CreateVolume DeleteNetworkInterface DeleteSecurityGroup DeleteSubnet DeregisterImage DescribeImages DescribeInstanceAttribute DescribeInstanceStatus DescribeInstances DescribeTags DescribeVolumes DescribeVolumesModifications ModifyVolume StopInstances
services.ec2                     _INSTANCE_ID_RE
services.ec2                     _STUB_AMIS
services.ec2                     _images
services.ec2                     _instances
services.ec2                     _key_pairs
services.ec2                     _launch_templates
services.ec2                     _network_interfaces
services.ec2                     _security_groups
services.ec2                     _snapshots
services.ec2                     _subnets
services.ec2                     _tags
services.ec2                     _volumes
services.efs                     _access_points
services.efs                     _backup_policies
services.efs                     _file_systems
services.efs                     _lifecycle_configs
services.efs                     _mount_targets
services.cloudwatch_logs         _log_groups
services.eventbridge             _rules
services.eventbridge             _targets
services.lambda_svc              _functions
services.lambda_svc              _RESERVED_RUNTIME_ENV_VARS           AWS_LAMBDA_RUNTIME_API
services.rds                     _ACTION_MAP                          CreateDBSubnetGroup DeleteDBClusterParameterGroup DeleteDBParameterGroup DeleteDBSubnetGroup DeleteOptionGroup
services.rds                     _db_cluster_param_groups
services.rds                     _option_groups
services.rds                     _param_groups
services.rds                     _subnet_groups
services.rds                     _tags
core.iam_evaluator               _request_origin
services.iam                     _instance_profiles
services.iam                     _roles
services.s3                      _bucket_tags
services.s3                      _bucket_versioning
services.s3                      _buckets
services.s3                      _object_acl
services.s3                      _object_tags
services.s3                      _object_versions
services.ssm                     _parameters
services.ssm                     _tags
services.stepfunctions           _executions
services.stepfunctions           _map_runs
services.stepfunctions           _state_machines
services.stepfunctions           _task_tokens
services.sns                     _topics
services.sts                     _sessions
services.tagging                 _COLLECTORS
"""


def misfits() -> list[str]:
    """What in the installed ministack this package does not fit, one sentence each; empty when all is well."""
    installed = version("ministack")
    found = []
    if installed != MINISTACK_VERSION:
        found.append(
            f"ministack {installed} is installed, but this package fits {MINISTACK_VERSION}: install requirements.txt again"
        )
    for line in FUNCTIONS.strip().splitlines():
        module, name, *parameters = line.split()
        found += _function_misfits(module, name, parameters)
    for line in TABLES.strip().splitlines():
        module, name, *keys = line.split()
        found += _table_misfits(module, name, keys)
    return found


def _find(module: str, name: str) -> object:
    found = importlib.import_module(f"ministack.{module}")
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _function_misfits(module: str, name: str, parameters: list[str]) -> list[str]:
    try:
        actual = list(inspect.signature(_find(module, name)).parameters)
    except (AttributeError, ImportError, TypeError):
        return [f"ministack.{module}.{name} is not there any more"]
    if parameters != ["*"] and actual != parameters:
        return [f"ministack.{module}.{name} takes ({', '.join(actual)}), expected ({', '.join(parameters)})"]
    return []


def _table_misfits(module: str, name: str, keys: list[str]) -> list[str]:
    try:
        table = _find(module, name)
    except (AttributeError, ImportError):
        return [f"ministack.{module}.{name} is not there any more"]
    return [f"ministack.{module}.{name} has no {key!r} any more" for key in keys if key not in table]
