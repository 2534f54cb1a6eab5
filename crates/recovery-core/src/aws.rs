//! What the deciding code knows of AWS resources.

/// An enum of the words with which AWS names a state. `Other` keeps a word that is not among them.
macro_rules! state {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is AWS's own word")]
        pub enum $name {
            $($variant,)*
            Other(String),
        }

        impl $name {
            /// The word of AWS.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $word,)*
                    $name::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> $name {
                match word {
                    $($word => $name::$variant,)*
                    other => $name::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub mod arn;
pub mod auto_scaling;
pub mod automation;
pub mod backup;
pub mod cloudformation;
pub mod database;
pub mod ec2;
pub mod file_system;
pub mod routing_control;
pub mod step_functions;
pub mod table;
