//! What ClickHouse's errors mean to the caller: try again later, or give these rows up.

use clickhouse::error::Error;

use super::row::RowError;
use crate::ResultsError;

/// Codes of exceptions that come from the rows themselves, by ClickHouse's `ErrorCodes.cpp`: the same rows would fail
/// again. Everything else may pass.
const OF_ROWS: &[u32] = &[
    6,   // CANNOT_PARSE_TEXT
    26,  // CANNOT_PARSE_QUOTED_STRING
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    33,  // CANNOT_READ_ALL_DATA
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    53,  // TYPE_MISMATCH
    69,  // ARGUMENT_OUT_OF_BOUND
    70,  // CANNOT_CONVERT_TYPE
    72,  // CANNOT_PARSE_NUMBER
    117, // INCORRECT_DATA
    128, // TOO_LARGE_ARRAY_SIZE
    131, // TOO_LARGE_STRING_SIZE
    190, // SIZES_OF_ARRAYS_DONT_MATCH
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    407, // DECIMAL_OVERFLOW
    469, // VIOLATED_CONSTRAINT
];

/// Codes that say that a table, column or database is not there.
const NOT_MIGRATED: &[u32] = &[
    10, // NOT_FOUND_COLUMN_IN_BLOCK
    16, // NO_SUCH_COLUMN_IN_TABLE
    47, // UNKNOWN_IDENTIFIER
    60, // UNKNOWN_TABLE
    81, // UNKNOWN_DATABASE
];

/// Why no answer came, for the chain of causes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer from ClickHouse within {0:?}")]
    Timeout(std::time::Duration),
    #[error("the schema is not this release's: run `sonde migrate`")]
    NotMigrated(#[source] Error),
}

/// An error of anything but an insert of rows.
pub(super) fn unavailable(error: Error) -> ResultsError {
    if is_schema(&error) {
        return ResultsError::Unavailable(Failure::NotMigrated(error).into());
    }
    ResultsError::Unavailable(error.into())
}

/// An error of an insert.
pub(super) fn of_insert(error: Error) -> ResultsError {
    let by_rows = match &error {
        Error::BadResponse(text) => code(text).is_some_and(|code| OF_ROWS.contains(&code)),
        Error::InvalidUtf8Encoding(_)
        | Error::InvalidTagEncoding(_)
        | Error::SequenceMustHaveLength
        | Error::VariantDiscriminatorIsOutOfBound(_)
        | Error::Custom(_) => true,
        _ => false,
    };
    if by_rows {
        ResultsError::Rejected(error.into())
    } else {
        unavailable(error)
    }
}

pub(super) fn is_unknown_table(error: &Error) -> bool {
    matches!(error, Error::BadResponse(text) if matches!(code(text), Some(60 | 81)))
}

fn is_schema(error: &Error) -> bool {
    match error {
        Error::BadResponse(text) => code(text).is_some_and(|code| NOT_MIGRATED.contains(&code)),
        Error::SchemaMismatch(_) => true,
        _ => false,
    }
}

/// The number in `Code: 60. DB::Exception: …`.
fn code(text: &str) -> Option<u32> {
    let number = text.split_once("Code: ")?.1;
    let end = number.find(|c: char| !c.is_ascii_digit())?;
    number[..end].parse().ok()
}

impl From<RowError> for ResultsError {
    fn from(error: RowError) -> Self {
        Self::Corrupt(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: fn(&ResultsError) -> bool) {
        let error = of_insert(Error::BadResponse(text.to_owned()));
        assert!(expected(&error), "{text}: {error:?}");
    }

    #[test]
    fn only_what_rows_themselves_cause_is_rejected() {
        let rejected = |error: &ResultsError| matches!(error, ResultsError::Rejected(_));
        let unavailable = |error: &ResultsError| matches!(error, ResultsError::Unavailable(_));
        check("Code: 33. DB::Exception: Cannot read all data.", rejected);
        check(
            "Code: 469. DB::Exception: Constraint `c` is violated",
            rejected,
        );
        check(
            "Code: 252. DB::Exception: Too many parts (300)",
            unavailable,
        );
        check(
            "Code: 241. DB::Exception: Memory limit exceeded",
            unavailable,
        );
        check(
            "Code: 202. DB::Exception: Too many simultaneous queries",
            unavailable,
        );
        check(
            "Code: 516. DB::Exception: Authentication failed",
            unavailable,
        );
        check(
            "Code: 242. DB::Exception: Table is in readonly mode",
            unavailable,
        );
        check("502 Bad Gateway", unavailable);
        check("<html>Code: many</html>", unavailable);
        check("", unavailable);
    }

    #[test]
    fn a_schema_that_is_not_there_names_the_command_to_run() {
        let text = "Code: 60. DB::Exception: Table sonde.check_results does not exist.";
        let error = of_insert(Error::BadResponse(text.to_owned()));
        let said = sonde_core::chain(&error);
        assert!(said.contains("run `sonde migrate`"), "{said}");
        assert!(said.contains("check_results"), "{said}");
    }
}
