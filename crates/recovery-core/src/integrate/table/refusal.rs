//! The refusals of a restored table.

use std::fmt;

use crate::aws::table::TableStatus;
use crate::integrate::refusal::Refusal;
use crate::tags::IDENTIFIER;
use crate::text::code;

/// Why a restored table is not configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableRefusal {
    /// The table does not exist, although the restore job completed.
    Gone { table: String },
    /// A table with this name exists, but it was created after the restore job completed.
    Replaced { table: String },
    /// The table has another name than the one that the tags give to the restored table. `wanted` is
    /// `None` if nothing says which name that is.
    OtherName {
        table: String,
        wanted: Option<String>,
    },
    /// The table is in this state.
    Unusable { table: String, status: TableStatus },
    /// DynamoDB cannot use the key of the table.
    KeyUnusable { table: String },
}

impl Refusal for TableRefusal {
    fn reason(&self) -> &'static str {
        match self {
            TableRefusal::Gone { .. } => "table-gone",
            TableRefusal::Replaced { .. } => "table-replaced",
            TableRefusal::OtherName { .. } => "table-name",
            TableRefusal::Unusable { .. } => "table-unusable",
            TableRefusal::KeyUnusable { .. } => "table-key-unusable",
        }
    }

    fn remedy(&self) -> String {
        match self {
            TableRefusal::Gone { .. } => {
                "Find out who deleted the table (AWS CloudTrail). If it is still needed, restore the recovery point again.".to_owned()
            }
            TableRefusal::Replaced { .. } => {
                "Find out who created the table (AWS CloudTrail): it does not contain the restored data. If a stack created it, remove it from that stack. Then restore the recovery point again, or restore it under the name in the tag recovery:identifier.".to_owned()
            }
            TableRefusal::OtherName { table, .. } => format!(
                "If the table replaces the one of the workload, set the tag {IDENTIFIER} of the recovery point to {} (`aws backup tag-resource`). If it is a copy for another purpose, no action needed.",
                code(table)
            ),
            TableRefusal::Unusable { .. } => {
                "Read the table in the DynamoDB console. If it is lost, restore the recovery point again.".to_owned()
            }
            TableRefusal::KeyUnusable { .. } => {
                "Enable the KMS key of the table, and allow DynamoDB to use it, within seven days: DynamoDB archives the table afterwards.".to_owned()
            }
        }
    }
}

impl fmt::Display for TableRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableRefusal::Gone { table } => write!(f, "the table {} does not exist", code(table)),
            TableRefusal::Replaced { table } => write!(
                f,
                "the table {} was created after the restore job completed: it is not the restored one",
                code(table)
            ),
            TableRefusal::OtherName {
                table,
                wanted: Some(wanted),
            } => write!(
                f,
                "the table was restored as {}, but the workload's table is to be named {}",
                code(table),
                code(wanted)
            ),
            TableRefusal::OtherName {
                table,
                wanted: None,
            } => write!(
                f,
                "neither the tag {IDENTIFIER} nor the restore job says whether {} is the name of the workload's table",
                code(table)
            ),
            TableRefusal::Unusable { table, status } => {
                write!(f, "the table {} is {}", code(table), code(status.as_str()))
            }
            TableRefusal::KeyUnusable { table } => write!(
                f,
                "DynamoDB cannot use the KMS key of the table {}",
                code(table)
            ),
        }
    }
}
