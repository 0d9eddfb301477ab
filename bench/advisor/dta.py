"""Runs postgres-mcp's tuning advisor on a list of statements, as its tool does.

Arguments: connection string, budget in MB, file with a JSON array of statements.
Prints JSON: definitions, its own CPU seconds, and what it said where it failed.
"""

import asyncio
import json
import resource
import sys
import types

# The package starts its server when it is imported; only the advisor is wanted.
server = types.ModuleType("postgres_mcp.server")
server.main = lambda: None
sys.modules["postgres_mcp.server"] = server
for name in ("instructor", "mcp"):
    sys.modules.setdefault(name, types.ModuleType(name))

from postgres_mcp.index.dta_calc import DatabaseTuningAdvisor  # noqa: E402
from postgres_mcp.sql import DbConnPool, SqlDriver  # noqa: E402


async def main():
    url, budget, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    with open(path) as file:
        queries = json.load(file)
    pool = DbConnPool(url)
    await pool.pool_connect(url)
    advisor = DatabaseTuningAdvisor(SqlDriver(conn=pool), budget_mb=budget)
    result = await advisor.analyze_workload(query_list=queries, max_index_size_mb=budget)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "definitions": [r.definition for r in result.recommendations],
                "seconds": usage.ru_utime + usage.ru_stime,
                "error": result.error,
            }
        )
    )
    await pool.close()


asyncio.run(main())
