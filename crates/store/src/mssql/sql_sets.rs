//! How sets of rows come, and the forms of statements that take them.
//!
//! Many keys or rows come as one JSON text (`@P1`), an array of arrays whose first element is the number of the row, with
//! all their bytes as one value (`@P2`) and all their texts as one (`@P3`): in the JSON stands where, as a number: place *
//! 2^30 + length. Such a statement goes by the keys: the hint says so, because a plan is made when tables are small and
//! kept when they are large.

/// The rows that are given.
macro_rules! given {
    ($($column:literal),*) => {
        concat!("OPENJSON(@P1) WITH (n int '$[0]'", $(", ", $column,)* ")")
    };
}
pub(super) use given;
/// Bytes of a row that is given.
macro_rules! bytes {
    ($at:literal) => {
        concat!(
            "SUBSTRING(@P2, CAST(",
            $at,
            " / 1073741824 AS int) + 1, CAST(",
            $at,
            " % 1073741824 AS int))"
        )
    };
}
pub(super) use bytes;
/// A text of a row that is given.
macro_rules! text {
    ($at:literal) => {
        concat!(
            "SUBSTRING(@P3, CAST(",
            $at,
            " / 1073741824 AS int) + 1, CAST(",
            $at,
            " % 1073741824 AS int))"
        )
    };
}
pub(super) use text;
/// A text of a row that is given, as it is compared with a column of this length.
macro_rules! key {
    ($at:literal, $length:literal) => {
        concat!("CAST(", text!($at), " AS nvarchar(", $length, ")) COLLATE Latin1_General_BIN2")
    };
}
pub(super) use key;
/// A hash of a row that is given.
macro_rules! hash {
    ($at:literal) => {
        concat!("CAST(", bytes!($at), " AS binary(16))")
    };
}
pub(super) use hash;
/// The hash by which bytes or a text of any length are found.
macro_rules! found_by {
    ($what:expr) => {
        concat!("CAST(HASHBYTES('SHA2_256', ", $what, ") AS binary(16))")
    };
}
pub(super) use found_by;
/// How statements go that are asked by keys.
macro_rules! by_key {
    () => {
        " OPTION (FORCE ORDER, LOOP JOIN)"
    };
}
pub(super) use by_key;
/// Rows after a place in two or three columns.
macro_rules! after {
    ($a:literal $x:literal, $b:literal $y:literal) => {
        concat!($a, " >= ", $x, " AND (", $a, " > ", $x, " OR ", $b, " > ", $y, ")")
    };
    ($a:literal $x:literal, $b:literal $y:literal, $c:literal $z:literal) => {
        concat!(
            $a, " >= ", $x, " AND (", $a, " > ", $x, " OR ", $b, " > ", $y, " OR (", $b, " = ", $y, " AND ",
            $c, " > ", $z, "))"
        )
    };
}
pub(super) use after;
/// Updates what is there of the rows that are given, and inserts the others.
macro_rules! put {
    ($table:literal, $given:expr, $on:expr, set $set:expr, insert $columns:literal $values:expr) => {
        concat!(
            "UPDATE t SET ",
            $set,
            " FROM ",
            $given,
            " AS v JOIN ",
            $table,
            " AS t ON ",
            $on,
            by_key!(),
            ";\n",
            insert!($table, $given, $on, $columns, $values)
        )
    };
}
pub(super) use put;
/// Inserts those of the rows that are given which are not there.
macro_rules! insert {
    ($table:literal, $given:expr, $on:expr, $columns:literal, $values:expr) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (",
            $columns,
            ") SELECT ",
            $values,
            " FROM ",
            $given,
            " AS v
  WHERE NOT EXISTS (SELECT 1 FROM ",
            $table,
            " AS t WHERE ",
            $on,
            ")",
            by_key!()
        )
    };
}
pub(super) use insert;
/// Deletes the rows that are given.
macro_rules! delete {
    ($table:literal, $given:expr, $on:expr) => {
        concat!("DELETE t FROM ", $given, " AS v JOIN ", $table, " AS t ON ", $on, by_key!())
    };
}
pub(super) use delete;
/// Updates one row, or inserts it.
macro_rules! put_one {
    ($table:literal, $on:literal, set $set:expr, insert $columns:literal $values:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET ",
            $set,
            " WHERE ",
            $on,
            ";
INSERT INTO ",
            $table,
            " (",
            $columns,
            ") SELECT ",
            $values,
            "
  WHERE NOT EXISTS (SELECT 1 FROM ",
            $table,
            " WHERE ",
            $on,
            ")"
        )
    };
}
pub(super) use put_one;
/// Adds to one count, or makes it.
macro_rules! add {
    ($table:literal, $columns:literal, $values:literal, $on:literal, $count:literal) => {
        add!($table, $columns, $values, $on, $count, "")
    };
    ($table:literal, $columns:literal, $values:literal, $on:literal, $count:literal, $more:literal) => {
        put_one!($table, $on, set concat!("[count] = [count] + ", $count, $more), insert $columns $values)
    };
}
pub(super) use add;
