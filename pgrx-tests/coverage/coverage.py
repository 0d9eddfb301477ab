#!/usr/bin/env python3
"""How many of the conditions that EXPLAIN shows capture understands.

    coverage.py statements DIRECTORY FILE.sql...  writes psql scripts of the same names there, with
                                                 a look before each statement that can be planned
    coverage.py report NAME LOG...              counts what the looks said; fails above 2 %

A condition is a conjunct of what EXPLAIN shows as Filter, Index Cond, Recheck Cond, Hash Cond,
Merge Cond, Join Filter, TID Cond, Conflict Filter or Order By. Each of its columns is followed
through the plan's alias to its relation (a partition's or child's to the parent that the statement
names). The condition counts as

- not found, where the statement's fields do not use one of these columns of these relations in any
  role of a condition (sorting, grouping, reading and writing are none), or where it is a plain
  comparison (column operator something) and no role of the column fits its operator;
- opaque, where one of the columns is used as "opaque" anywhere in the statement, even if it has
  another role too (which of the two this condition is cannot be told from the outside), unless it
  is a plain comparison and a role fits it;
- understood otherwise.

The first two together may be at most 2 %. Conditions without a column of a relation (constants,
results of aggregates, functions and subqueries, system columns) are not about fields; they are
counted beside.
"""
import json
import os
import re
import sys

STARTS = re.compile(r"^\s*(select|with|values|table|insert|update|delete|merge)\b", re.I)
CONDITIONS = ("Filter", "Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond", "Join Filter", "TID Cond",
              "Conflict Filter", "Order By")
SYSTEM = {"tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"}
NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
# Roles in which no condition uses a field.
OTHER = {"output", "updated", "group"}
ORDERS = {"order_ascending", "order_descending", "order_ascending_nulls_first", "order_descending_nulls_last"}
# Roles that fit a plain comparison. The planner writes some anew: an equality for the members of a
# class, a range or an equality for a pattern or a network, IS NOT NULL for min() and max().
FITTING = {
    "=": {"equality", "in_list", "join", "same_row", "array", "prefix_like", "regex", "range_type", "boolean"},
    "<>": {"inequality", "join", "same_row", "boolean"},
    "IS NULL": {"is_null", "boolean"},
    # The planner makes it of `column = column`, too.
    "IS NOT NULL": {"is_not_null", "same_row", "boolean"} | ORDERS,
}
for comparison in ("<", "<=", ">", ">="):
    FITTING[comparison] = {"range", "join", "same_row", "prefix_like", "regex", "range_type", "boolean"}
for match in ("~~", "~~*"):
    FITTING[match] = {"prefix_like", "infix_like", "join", "same_row", "boolean"}
for match in ("!~~", "!~~*", "!~", "!~*"):
    FITTING[match] = {"inequality", "join", "same_row", "boolean"}
for match in ("~", "~*"):
    FITTING[match] = {"regex", "join", "same_row", "boolean", "range_type"}


def split(text):
    """The statements of a psql script with the lines between them: (text, is a statement)."""
    parts, start, position, depth, length = [], 0, 0, 0, len(text)
    line_start = True
    while position < length:
        c = text[position]
        rest = text[position:position + 2]
        if line_start and c == "\\" or c == "\\":
            # A meta command to the end of the line; it may end a statement (\gset, \g).
            end = text.find("\n", position)
            end = length if end < 0 else end + 1
            parts.append((text[start:end], False))
            start = position = end
            depth = 0
            continue
        line_start = c == "\n"
        if rest == "--":
            end = text.find("\n", position)
            position = length if end < 0 else end
            continue
        if rest == "/*":
            level, position = 1, position + 2
            while position < length and level:
                if text[position:position + 2] == "/*":
                    level, position = level + 1, position + 2
                elif text[position:position + 2] == "*/":
                    level, position = level - 1, position + 2
                else:
                    position += 1
            continue
        if c in "'\"":
            escapes = c == "'" and position > start and text[position - 1] in "eE"
            position += 1
            while position < length:
                if escapes and text[position] == "\\":
                    position += 2
                    continue
                if text[position] == c:
                    if text[position + 1:position + 2] == c:
                        position += 2
                        continue
                    break
                position += 1
            position += 1
            continue
        dollar = re.match(r"\$([A-Za-z_][A-Za-z_0-9]*)?\$", text[position:position + 70]) if c == "$" else None
        if dollar:
            end = text.find(dollar.group(0), position + len(dollar.group(0)))
            position = length if end < 0 else end + len(dollar.group(0))
            continue
        if c in "([":
            depth += 1
        elif c in ")]":
            depth = max(0, depth - 1)
        elif c == ";" and depth == 0 and not re.search(r"\bbegin\s+atomic\b", text[start:position], re.I):
            statement = text[start:position + 1]
            parts.append((statement, True))
            start = position = position + 1
            if re.match(r"\s*copy\b.*\bfrom\s+stdin\b", bare(statement), re.I | re.S):
                end = text.find("\n\\.\n", position)
                end = length if end < 0 else end + 4
                parts.append((text[start:end], False))
                start = position = end
            continue
        position += 1
    parts.append((text[start:], False))
    return parts


def bare(statement):
    """Without leading comments and blanks."""
    while True:
        shorter = re.sub(r"^(\s+|--[^\n]*\n|/\*.*?\*/)", "", statement, flags=re.S)
        if shorter == statement:
            return statement
        statement = shorter


def statements(path, directory):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    out = []
    for part, is_statement in split(text):
        inner = bare(part).rstrip().rstrip(";")
        explained = re.match(r"explain\s*(\([^)]*\)|(analyze|verbose)\s+)*", inner, re.I)
        if explained:
            inner = inner[explained.end():].lstrip()
        if is_statement and STARTS.match(inner) and "$coverage$" not in inner and not re.search(r":['\"]?[a-z_]+['\"]?(?!:)", re.sub(r"::|'[^']*'", "", inner)):
            out.append(f"SELECT coverage.look($coverage${inner}$coverage$);\n")
        out.append(part)
    with open(os.path.join(directory, os.path.basename(path)), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\\set ON_ERROR_STOP off\n" + "".join(out) + "\n")


def conjuncts(condition):
    """The parts of a condition that AND joins at its outermost level."""
    condition = condition.strip()
    while condition.startswith("(") and closes_at_end(condition):
        inner = condition[1:-1].strip()
        if not re.search(r"\s", inner):
            return [inner]
        condition = inner
    parts, depth, start, quoted = [], 0, 0, False
    position = 0
    while position < len(condition):
        c = condition[position]
        if c == "'":
            quoted = not quoted
        elif not quoted and c in "([":
            depth += 1
        elif not quoted and c in ")]":
            depth -= 1
        elif not quoted and depth == 0 and condition[position:position + 5] == " AND ":
            parts.append(condition[start:position])
            start = position = position + 5
            continue
        position += 1
    parts.append(condition[start:])
    return parts


def closes_at_end(text):
    depth, quoted = 0, False
    for position, c in enumerate(text):
        if c == "'":
            quoted = not quoted
        elif not quoted and c == "(":
            depth += 1
        elif not quoted and c == ")":
            depth -= 1
            if depth == 0:
                return position == len(text) - 1
    return False


def plans(node):
    """Every plan node."""
    yield node
    for child in node.get("Plans", ()):
        yield from plans(child)


def bare_name(name):
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def without_literals(text):
    return re.sub(r"'(?:[^']|'')*'", "''", text)


def without_calls(text):
    """Without the arguments of functions: below an aggregate there is no field."""
    while True:
        plain = re.sub(r"(?<![\w\"])\(([^()]*)\)", r"\1", text)
        shorter = re.sub(NAME + r"\([^()]*\)", "''", plain)
        if shorter == text:
            return text
        text = shorter


def columns(condition, relations):
    """(relation, column) of a condition; VERBOSE qualifies every column. The whole row is "*"."""
    found = set()
    for alias, column in re.findall(f"({NAME})\\.({NAME}|\\*)(?!\\s*\\()", without_literals(condition)):
        relation = relations.get(bare_name(alias))
        if relation and bare_name(column) not in SYSTEM:
            found.add((relation, bare_name(column)))
    return found


def field_columns(field):
    """Names in a field's text that can be columns: no literals, types or functions."""
    text = re.sub(r"::\s*(?:" + NAME + r"\.)*" + NAME, "", without_literals(field))
    text = re.sub(f"(?:{NAME}\\.)*{NAME}\\(", "(", text)
    return {bare_name(name) for name in re.findall(NAME, text)}


def plain_operator(condition):
    """The operator of `column operator something`, or None."""
    text = without_literals(condition).strip()
    while text.startswith("(") and closes_at_end(text):
        text = text[1:-1].strip()
    if re.search(r" IS NOT NULL$", text) and not re.search(r" (?:AND|OR) ", text):
        return "IS NOT NULL"
    column = rf"\(?{NAME}\.{NAME}\)?(?:::[a-z ]+)?"
    found = re.fullmatch(rf"{column} (IS NULL)", text)
    found = found or re.match(rf"{column} (=|<>|<=|>=|<|>|!?~~?\*?)(?: ANY| ALL)? (?!.* (?:AND|OR) )", text)
    if found is None or len(re.findall(rf"{NAME}\.{NAME}", text)) > 1:
        return None
    return found.group(1)


def relation_name(relation):
    """As EXPLAIN names it: temporary schemas without number, system ones in full."""
    relation = re.sub(r"^pg_temp_\d+\.", "pg_temp.", relation.replace('"', ""))
    return relation if "." in relation else f"pg_catalog.{relation}"


def judged(look):
    """Yields (condition, verdict) of each condition of a statement, each once."""
    roles = {}
    for field in look["fields"] or ():
        if field["role"] in OTHER:
            continue
        for column in field_columns(field["field"]):
            roles.setdefault((relation_name(field["relation"]), column), set()).add(field["role"])
    nodes = [node for plan in look["plan"] for node in plans(plan["Plan"])]
    parents = {}
    for child, parent in look.get("parents") or ():
        parents.setdefault(relation_name(child), set()).add(relation_name(parent))
    relations = {}
    for node in nodes:
        schema = node.get("Schema", "")
        if node.get("Relation Name") and node.get("Alias") and not schema.startswith("pg_toast"):
            relations[node["Alias"]] = f"{schema}.{node['Relation Name']}"
    # Above an Append its first child stands under the parent's alias.
    for alias, relation in sorted(relations.items()):
        relations.setdefault(re.sub(r"_\d+$", "", alias), relation)

    def used(relation, column):
        found = set()
        for one in {relation} | parents.get(relation, set()):
            found |= roles.get((one, column), set())
        return found

    met = set()
    for node in nodes:
        for key in CONDITIONS:
            # An index condition and its recheck are one condition.
            for condition in conjuncts(node.get(key, "")):
                if not condition.strip() or condition in met:
                    continue
                met.add(condition)
                looked = without_calls(condition) if node["Node Type"] in ("Aggregate", "WindowAgg") else condition
                fields = columns(looked, relations)
                if not fields:
                    yield condition, "no field"
                    continue
                operator = plain_operator(condition)
                verdict = "understood"
                for relation, column in fields:
                    here = used(relation, column)
                    if operator != "IS NOT NULL":
                        here = here - ORDERS
                    if operator in FITTING and here & FITTING[operator]:
                        continue
                    if "opaque" in here:
                        verdict = "opaque"
                    elif not here or operator in FITTING:
                        verdict = "not found"
                        break
                yield condition, verdict


def report(name, paths):
    counts = {"understood": 0, "opaque": 0, "not found": 0, "no field": 0}
    seen = 0
    examples = {}
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                place = line.find("COVERAGE {")
                if place < 0:
                    continue
                try:
                    look = json.loads(line[place + 9:])
                except ValueError:
                    continue
                seen += 1
                for condition, verdict in judged(look):
                    counts[verdict] += 1
                    if verdict in ("opaque", "not found"):
                        examples.setdefault((verdict, condition), look["statement"].replace("\n", " ")[:600])
    total = counts["understood"] + counts["opaque"] + counts["not found"]
    share = 100 * (counts["opaque"] + counts["not found"]) / total if total else 100.0
    print(f"{name}: {seen} statements, {total} conditions on fields, {counts['opaque']} opaque,"
          f" {counts['not found']} not found ({share:.2f} % together);"
          f" {counts['no field']} more on no field")
    with open(paths[0] + ".opaque", "w", encoding="utf-8") as file:
        for (verdict, condition), statement in sorted(examples.items()):
            file.write(f"{verdict}: {condition}\n\t{statement}\n")
    return share <= 2.0


if sys.argv[1] == "statements":
    for name in sys.argv[3:]:
        statements(name, sys.argv[2])
elif not report(sys.argv[2], sys.argv[3:]):
    sys.exit(1)
