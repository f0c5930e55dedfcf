#!/usr/bin/env python3
"""Judges the T-SQL of the store: reads {"migrations": [[name, batch]...], "statements": [[name, text]...]} from standard
input and prints what is wrong, one complaint a line; nothing when nothing is.

Each text is parsed by sqlglot (dialect tsql). The migrations are applied in their order to a model of the schema: tables,
columns with their types, keys, indices. Then every table and column that a statement names must be there, and nothing may
be used that is newer than SQL Server 2016 or that a server with this protocol is known to lack."""

import json
import logging
import re
import sys

import sqlglot
from sqlglot import exp

logging.disable(logging.CRITICAL)

COLLATION = "latin1_general_bin2"
# Bytes of a value in a key.
SIZES = {"BIGINT": 8, "INTEGER": 4, "SMALLINT": 2, "BIT": 1, "DATETIME2": 8}
CLUSTERED_MAX, INDEX_MAX = 900, 1700
# Newer than 2016, or missing in a server that speaks this protocol.
FORBIDDEN = re.compile(
    r"\b(STRING_AGG|TRIM|CONCAT_WS|TRANSLATE|GREATEST|LEAST|GENERATE_SERIES|DATE_BUCKET|JSON_OBJECT|JSON_ARRAY|"
    r"APPROX_COUNT_DISTINCT|STRING_ESCAPE|DATETRUNC|LIMIT|MERGE|NEXT\s+VALUE|DISTINCT\s+FROM|CREATE\s+OR\s+ALTER|"
    r"HOLDLOCK|UPDLOCK|NOLOCK|READPAST)\b",
    re.IGNORECASE,
)
# What sqlglot keeps as text: it is looked at by its first words.
PLAIN = re.compile(
    r"^(SET [A-Z_]+ (ON|OFF|\d+)|SET TRANSACTION ISOLATION LEVEL (SNAPSHOT|READ COMMITTED)|"
    r"EXEC @got = sp_getapplock @Resource = @lock, @LockMode = N'Exclusive', @LockOwner = N'Transaction',\s+"
    r"@LockTimeout = \d+|ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON|IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION|"
    r"DECLARE @got int|DECLARE @lock nvarchar\(255\) = N'onesync\.(schema|writer) ' \+ DB_NAME\(\))$"
)
# Views of the server itself.
SYSTEM = {
    "databases", "objects", "database_files", "tables", "partitions", "allocation_units", "database_principals",
}
# What an administrator runs, with names in brackets.
NAME, TEXT = r"\[(?:[^\]]|\]\])+\]", r"N'(?:[^']|'')*'"
ADMINISTRATION = re.compile(
    rf"^(CREATE LOGIN {NAME} WITH PASSWORD = {TEXT}|CREATE DATABASE {NAME}|"
    rf"IF SERVERPROPERTY\('Babelfish'\) IS NULL EXEC \(N'ALTER DATABASE \[(?:[^\]']|\]\]|'')+\] SET READ_COMMITTED_SNAPSHOT ON'\)|"
    rf"ALTER AUTHORIZATION ON DATABASE::{NAME} TO {NAME}|"
    rf"CREATE USER {NAME} FOR LOGIN {NAME} WITH DEFAULT_SCHEMA = {NAME}|"
    rf"ALTER USER {NAME} WITH (LOGIN|DEFAULT_SCHEMA) = {NAME}|"
    rf"GRANT SELECT, INSERT, UPDATE, DELETE ON SCHEMA::{NAME} TO {NAME}|"
    rf"DENY INSERT, UPDATE, DELETE ON {NAME}\.onesync_migration TO {NAME}|"
    r"IF USER_NAME\(\) = N'dbo' OR IS_MEMBER\(N'db_owner'\) = 1 EXEC sp_updatestats)$"
)

complaints = []


def complain(where, what):
    complaints.append(f"{where}: {what}")


class Table:
    def __init__(self):
        self.columns = {}


tables = {}


def kind_of(definition):
    kind = definition.args.get("kind")
    return kind.sql(dialect="tsql").upper() if kind else "?"


def size_of(kind):
    """Bytes in a key; a word about it when it may be in none."""
    if "MAX" in kind:
        return None, "max"
    found = re.match(r"(NVARCHAR|BINARY|VARBINARY)\((\d+)\)$", kind)
    if not found:
        return (SIZES[kind], None) if kind in SIZES else (None, kind.lower())
    if found[1] == "VARBINARY":
        return None, "varbinary: zeros at its end do not count"
    return int(found[2]) * (2 if found[1] == "NVARCHAR" else 1), None


def check_key(where, table, names, limit):
    total = 0
    for name in names:
        kind = tables[table].columns.get(name)
        if kind is None:
            complain(where, f"key over `{name}`, which `{table}` lacks")
            continue
        size, why = size_of(kind)
        if size is None:
            complain(where, f"`{table}.{name}` is in a key and is {why}")
        else:
            total += size
    if total > limit:
        complain(where, f"a key of `{table}` may be of {total} bytes, {limit} are allowed")


def names_in(columns):
    out = []
    for column in columns:
        column = column.this if isinstance(column, exp.Ordered) else column
        out.append(column.name.lower())
    return out


def add_column(where, name, item):
    """Adds a column to the model; whether it is the key."""
    column, kind = item.name.lower(), kind_of(item)
    if size_of(kind)[0] is None and kind not in ("NVARCHAR(MAX)", "VARBINARY(MAX)", "VARBINARY(20)"):
        complain(where, f"`{name}.{column}` is of type {kind.lower()}")
    tables[name].columns[column] = kind
    constraints = [constraint.kind for constraint in item.constraints]
    collations = [c.this.name.lower() for c in constraints if isinstance(c, exp.CollateColumnConstraint)]
    if kind.startswith("NVARCHAR") and collations != [COLLATION]:
        complain(where, f"`{name}.{column}` names no binary collation")
    if any(isinstance(c, exp.PrimaryKeyColumnConstraint) for c in constraints):
        return True
    if not any(isinstance(c, exp.NotNullColumnConstraint) for c in constraints):
        complain(where, f"`{name}.{column}` says neither NULL nor NOT NULL")
    return False


def alter_table(where, altered):
    name = altered.this.name.lower()
    for item in altered.args.get("actions") or []:
        if name not in tables:
            complain(where, f"table `{name}` is not there")
        elif isinstance(item, exp.ColumnDef):
            add_column(where, name, item)
        else:
            complain(where, f"`{item.sql(dialect='tsql')}` is not understood")


def create_table(where, created):
    schema = created.this
    name = schema.this.name.lower()
    if name in tables:
        complain(where, f"table `{name}` is there already")
        return
    tables[name] = Table()
    keys = []
    for item in schema.expressions:
        if isinstance(item, exp.PrimaryKey):
            keys.append(names_in(item.expressions))
            continue
        if not isinstance(item, exp.ColumnDef):
            complain(where, f"`{item.sql(dialect='tsql')}` is not understood")
            continue
        if add_column(where, name, item):
            keys.append([item.name.lower()])
    for key in keys:
        check_key(where, name, key, CLUSTERED_MAX)


def create_index(where, created):
    index = created.this
    table = index.args["table"].name.lower()
    if table not in tables:
        complain(where, f"index over `{table}`, which is not there")
        return
    params = index.args["params"]
    check_key(where, table, names_in(params.args.get("columns") or []), INDEX_MAX)
    others = list(params.args.get("include") or [])
    where_clause = params.args.get("where")
    if where_clause:
        others += list(where_clause.find_all(exp.Column))
    for name in names_in(others):
        if name not in tables[table].columns:
            complain(where, f"index over `{name}`, which `{table}` lacks")


def sources_of(tree):
    """The columns that each name for a row source has; None where they are not known."""
    sources = {}
    for table in tree.find_all(exp.Table):
        inner = table.this
        if isinstance(inner, exp.OpenJSON):
            sources[table.alias.lower()] = {item.name.lower() for item in inner.expressions}
            continue
        if isinstance(inner, exp.Func):
            sources[table.alias.lower() or "?"] = None
            continue
        name = table.name.lower()
        if table.db.lower() == "sys" and name in SYSTEM:
            sources[(table.alias or name).lower()] = None
        elif name in tables:
            known = set(tables[name].columns)
            sources[(table.alias or name).lower()] = known
            sources.setdefault(name, known)
        elif name not in sources:
            yield_name(sources, name)
    for given in tree.find_all(exp.Values):
        alias = given.args.get("alias")
        if alias:
            sources[alias.name.lower()] = {column.name.lower() for column in alias.columns}
    for sub in tree.find_all(exp.Subquery):
        if sub.alias:
            sources[sub.alias.lower()] = {item.alias_or_name.lower() for item in sub.this.expressions}
    for applied in tree.find_all(exp.Lateral):
        sources[applied.alias.lower()] = {item.alias_or_name.lower() for item in applied.this.this.expressions}
    return sources


def yield_name(sources, name):
    # The target of an UPDATE or DELETE may be an alias that comes later.
    sources.setdefault("", set()).add(name)


def check_columns(where, tree):
    sources = sources_of(tree)
    for name in sources.pop("", set()):
        if name not in sources:
            complain(where, f"table `{name}` is not there")
    changed = tree.this.this if isinstance(tree, exp.Update) else None
    if isinstance(changed, exp.Identifier) and changed.name.lower() in sources:
        sources["inserted"] = sources[changed.name.lower()]  # what OUTPUT gives
    known = set().union(*(columns for columns in sources.values() if columns is not None), set())
    open_ended = any(columns is None for columns in sources.values())
    given = {alias.alias.lower() for alias in tree.find_all(exp.Alias) if alias.alias}
    for column in tree.find_all(exp.Column):
        if column.find_ancestor(exp.WithTableHint):
            continue
        name, of = column.name.lower(), column.table.lower()
        if of:
            if of not in sources:
                complain(where, f"`{of}.{name}`: there is no `{of}`")
            elif sources[of] is not None and name not in sources[of]:
                complain(where, f"`{of}` has no column `{name}`")
        elif name not in known and name not in given and not open_ended:
            complain(where, f"no column `{name}`")
    if isinstance(tree, exp.Insert) and isinstance(tree.this, exp.Schema):
        table = tree.this.this.name.lower()
        listed = [item.name.lower() for item in tree.this.expressions]
        for name in listed:
            if name not in tables.get(table, Table()).columns:
                complain(where, f"`{table}` has no column `{name}`")
        source = tree.expression
        count = None
        if isinstance(source, exp.Select):
            count = len(source.expressions)
        elif isinstance(source, exp.Values):
            count = len(source.expressions[0].expressions)
        if count is not None and count != len(listed):
            complain(where, f"{len(listed)} columns of `{table}` and {count} values")


def parsed(where, text):
    if text.startswith("DELETE"):
        # T-SQL has hints there, this parser has not.
        text = text.removesuffix(" OPTION (FORCE ORDER, LOOP JOIN)")
    bare = re.sub(r"--[^\n]*", "", text)
    plain = " ".join(bare.split())
    if PLAIN.match(plain) or ADMINISTRATION.match(text):
        return []
    try:
        return [tree for tree in sqlglot.parse(text, dialect="tsql") if tree is not None]
    except sqlglot.errors.SqlglotError as error:
        complain(where, f"no T-SQL: {str(error).splitlines()[0]}")
        return []


def pieces(text):
    """The statements of a batch; of a loop, what is in it."""
    loop = re.match(r"(DECLARE @connector int = .*?;)\s*WHILE @connector IS NOT NULL\s*BEGIN(.*)END$", text, re.S)
    if loop:
        yield loop[1].split("=", 1)[1].strip().rstrip(";").strip("()")
        inner, step = loop[2].rsplit("SET @connector =", 1)
        yield inner.strip().rstrip(";")
        yield step.strip().rstrip(";").strip("()")
        return
    conditional = re.match(r"IF OBJECT_ID\(N'\w+', N'U'\) IS NULL\s+(CREATE TABLE .*)$", text, re.S)
    if conditional:
        yield conditional[1]
        return
    yield from (piece.strip() for piece in re.split(r";\s*(?:\n|(?=SELECT|SET ))", text) if piece.strip())


def check_parameters(where, text):
    numbers = {int(number) for number in re.findall(r"@P(\d+)", text)}
    # Bytes and texts beside the JSON are not always wanted.
    optional = {2, 3} if "OPENJSON(" in text else set()
    for number in range(1, max(numbers, default=0) + 1):
        if number not in numbers | optional:
            complain(where, f"@P{number} is left out")
    for given in re.findall(r"OPENJSON\(@P1\) WITH \((.*?)\)\s+AS", text, re.S):
        paths = [int(path) for path in re.findall(r"'\$\[(\d+)\]'", given)]
        for number, path in enumerate(paths):
            if number != path:
                complain(where, f"$[{number}] is left out")
                break


def judge(where, text, migration):
    word = FORBIDDEN.search(re.sub(r"--[^\n]*|'[^']*'", "", text))
    if word:
        complain(where, f"{' '.join(word[0].upper().split())} is not to be used")
    if not migration:
        check_parameters(where, text)
    for piece in [text] if migration else pieces(text):
        for tree in parsed(where, piece):
            if isinstance(tree, exp.Command):
                complain(where, f"no T-SQL that is understood: {tree.sql(dialect='tsql')[:60]}")
            elif isinstance(tree, exp.Create) and tree.kind == "TABLE":
                create_table(where, tree)
            elif isinstance(tree, exp.Create) and tree.kind == "INDEX":
                create_index(where, tree)
            elif isinstance(tree, exp.Create) and tree.kind == "VIEW":
                tables[tree.this.this.name.lower() if isinstance(tree.this, exp.Schema) else tree.this.name.lower()] = Table()
                check_columns(where, tree.expression)
            elif isinstance(tree, exp.Alter) and tree.args.get("kind") == "TABLE":
                alter_table(where, tree)
            elif isinstance(tree, (exp.Select, exp.Insert, exp.Update, exp.Delete)):
                check_columns(where, tree)
            elif not isinstance(tree, (exp.Transaction, exp.Commit, exp.Rollback)):
                complain(where, f"not expected here: {type(tree).__name__}")


asked = json.load(sys.stdin)
for name, batch in asked["migrations"]:
    judge(f"migration {name}", batch, True)
create = [text for name, text in asked["statements"] if name == "MIGRATION_TABLE"]
if not create:
    tables["onesync_migration"] = Table()
for name, text in sorted(asked["statements"], key=lambda pair: pair[0] != "MIGRATION_TABLE"):
    judge(name, text, False)
sys.stdout.write("".join(complaint + "\n" for complaint in complaints))
