"""Compares two runs of one of PostgreSQL's own suites, without the library and with it.

Usage: compare.py SUITE MAJOR WITHOUT_DIR WITH_DIR

Each changed line of the run with the library that the run without it does not have as well must
match an entry of the file `allowed` beside this one, and each entry of a suite must be needed:
one that explains nothing any more is reported. Each changed line of the run without the
library must match an entry of the file `baseline`. Every test of the schedule must have been run.
"""

import pathlib
import re
import sys


def differences(directory):
    """Changed lines of regression.diffs by test: {test: [line, ...]}."""
    found = {}
    path = pathlib.Path(directory) / "regression.diffs"
    if not path.exists():
        return found
    test = None
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("diff "):
            test = pathlib.Path(line.split()[-1]).stem
            found.setdefault(test, [])
        elif line.startswith(("+++", "---", "@@")) or not line.startswith(("+", "-")):
            continue
        elif test is not None:
            found[test].append(line)
    return found


def outcomes(directory):
    """Numbers of tests that passed and failed, by pg_regress's own lines."""
    text = (pathlib.Path(directory) / "log").read_text(errors="replace")
    passed = len(re.findall(r"^(?:test|     )\s*\S+\s*\.\.\. ok\b|^ok \d+", text, re.M))
    failed = len(re.findall(r"\.\.\. FAILED|^not ok \d+", text, re.M))
    return passed, failed


def allowed(suite):
    """Entries: suite, test, pattern, reason, separated by tabs."""
    path = pathlib.Path(__file__).with_name("allowed")
    entries = []
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            kind, test, pattern, reason = line.split("\t")
            if kind == suite:
                entries.append((test, re.compile(pattern), reason))
    return entries


def baseline(suite, major):
    """What differs without the library: [(test, pattern, reason)] of this suite and major."""
    path = pathlib.Path(__file__).with_name("baseline")
    rows = (line.split("\t") for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return [(test, re.compile(pattern), reason)
            for kind, of, test, pattern, reason in rows if (kind, of) == (suite, major)]


def main():
    suite, major, without, with_ = sys.argv[1:]
    before, after = differences(without), differences(with_)
    entries, used, wrong = allowed(suite), set(), []
    for test, lines in after.items():
        known = list(before.get(test, []))
        for line in lines:
            if line in known:
                known.remove(line)
                continue
            for number, (name, pattern, _) in enumerate(entries):
                if name == test and pattern.search(line[1:]):
                    used.add(number)
                    break
            else:
                wrong.append(f"{test}: {line}")
    (passed_before, failed_before), (passed, failed) = outcomes(without), outcomes(with_)
    print(f"{suite}: without the library {passed_before} passed, {failed_before} differ; "
          f"with it {passed} passed, {failed} differ")
    known, unlisted = baseline(suite, major), []
    met = set()
    for test, lines in before.items():
        for line in lines:
            matching = {n for n, (name, pattern, _) in enumerate(known) if name == test and pattern.search(line[1:])}
            met |= matching
            if not matching:
                unlisted.append(f"{test}: {line}")
    for number, (test, pattern, reason) in enumerate(known):
        words = "differs without the library too" if number in met else "does not differ here"
        print(f"  {words}: {test}: {pattern.pattern}  ({reason})")
    for line in unlisted[:100]:
        print(f"  NOT LISTED in baseline {line}")
    for number in sorted(used):
        test, pattern, reason = entries[number]
        print(f"  allowed in {test}: {pattern.pattern}  ({reason})")
    for number, (test, pattern, _) in enumerate(entries):
        if number not in used:
            print(f"  no longer needed: {test} {pattern.pattern}")
    for line in wrong[:100]:
        print(f"  NOT EXPLAINED {line}")
    total = passed + failed
    if total == 0 or total != passed_before + failed_before:
        print(f"  the runs have {passed_before + failed_before} and {total} tests")
        return 1
    return 1 if wrong or unlisted else 0


sys.exit(main())
