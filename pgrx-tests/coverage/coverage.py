#!/usr/bin/env python3
"""How many of the conditions that EXPLAIN shows capture understands.

    coverage.py statements DIRECTORY FILE.sql...  writes psql scripts of the same names there, with
                                                 a look before each statement that can be planned
    coverage.py report NAME LOG...              counts what the looks said; fails above 2 %

A condition (a conjunct of a Filter, Index Cond, Recheck Cond, Hash Cond, Merge Cond, Join Filter
or Order By) counts as understood when every one of its columns is used in some role by the
statement's fields, and as opaque when one is not, or only in the role "opaque". Conditions
without a column (constants, parameters, subplans' results) are not about fields.
"""
import json
import os
import re
import sys

STARTS = re.compile(r"^\s*(select|with|values|table|insert|update|delete|merge)\b", re.I)
CONDITIONS = ("Filter", "Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond", "Join Filter", "Order By")


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


def plans(node, inherited=()):
    """Every plan node with the columns that scans below it put out, as EXPLAIN writes them."""
    yield node
    for child in node.get("Plans", ()):
        yield from plans(child)


def columns(condition, aliases):
    """Columns of relations in a condition; VERBOSE qualifies every one of them."""
    text = re.sub(r"'(?:[^']|'')*'", "''", condition)
    found = set()
    for alias, column in re.findall(r'("(?:[^"]|"")+"|[A-Za-z_][\w$]*)\.("(?:[^"]|"")+"|[A-Za-z_][\w$]*)(?!\s*\()', text):
        if alias.strip('"') in aliases:
            found.add(column.strip('"'))
    return found


def report(name, paths):
    total = opaque = seen = 0
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
                used, hidden = set(), set()
                for field in look["fields"] or ():
                    if field["role"] in ("output", "updated"):
                        continue
                    words = set(re.findall(r'"((?:[^"]|"")+)"|([A-Za-z_][\w$]*)', field["field"]))
                    words = {one or two for one, two in words}
                    (hidden if field["role"] == "opaque" else used).update(words)
                nodes = [node for plan in look["plan"] for node in plans(plan["Plan"])]
                aliases = {node.get("Alias") for node in nodes if node.get("Relation Name") and not node.get("Schema", "").startswith("pg_t")}
                aliases |= {re.sub(r"_\d+$", "", alias) for alias in aliases if alias}
                met = set()
                for node in nodes:
                    for key in CONDITIONS:
                        for condition in conjuncts(node.get(key, "")):
                            fields = columns(condition, aliases)
                            if not fields or condition in met:
                                continue
                            # An index condition and its recheck are one condition.
                            met.add(condition)
                            total += 1
                            if not fields <= used:
                                opaque += 1
                                examples.setdefault(condition, look["statement"].replace("\n", " ")[:300])
    share = 100 * opaque / total if total else 100.0
    print(f"{name}: {seen} statements, {total} conditions, {opaque} opaque or not found ({share:.2f} %)")
    with open(paths[0] + ".opaque", "w", encoding="utf-8") as file:
        for condition, statement in examples.items():
            file.write(f"{condition}\n\t{statement}\n")
    return share <= 2.0


if sys.argv[1] == "statements":
    for name in sys.argv[3:]:
        statements(name, sys.argv[2])
elif not report(sys.argv[2], sys.argv[3:]):
    sys.exit(1)
