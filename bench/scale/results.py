"""The figures of a run, for programs and for people."""

from typing import Any

from rich.table import Table


def summary_of(found: dict[str, Any]) -> dict[str, Any]:
    """The figures, with the unit costs of the capacity model where all were measured."""
    if "prices" not in found or "natural" not in found:
        return found
    natural = found["natural"]
    return found | {
        "unit_costs": found["prices"]
        | {
            "event_bytes": found["event_bytes"],
            "change_bytes": natural["change_bytes"],
            "profile_bytes": natural["redis_bytes_by_kind"]["profile value"],
            "redis_bytes_per_customer": found["redis_bytes_per_customer"],
            "trainer_us_per_profile": natural["trainer_us_per_profile"],
        }
    }


def table_of(result: dict[str, Any]) -> Table:
    """What was measured, against what was wanted."""
    where = result["machine"]
    table = Table(
        *("what", "figure", "wanted", "how"),
        title=f"{where['cores']} cores for everything, Python {where['python']}",
    )
    for customers, micros in result.get("cpu_us_per_event", {}).items():
        table.add_row(f"CPU, {int(customers):,} customers", f"{micros:.1f} µs/event", "", "worker")
    if "cpu_ratio" in result:
        blocks = result["blocks"]
        how = f"not in memory: {blocks['small']['loaded']:.0%} and {blocks['large']['loaded']:.0%}"
        table.add_row("large over small", f"{result['cpu_ratio']:.3f}", "<= 1.25", how)
        cold = f"{result['cold_us_per_event']:.1f} µs/event"
        table.add_row("first events of everybody", cold, "", "nobody in memory")
        for name, price in result["prices"].items():
            shown = " + ".join(f"{price[part]:g}/{part}" for part in price)
            table.add_row(f"  {name}", shown, "", "fitted")
    if "two_workers_ratio" in result:
        how = "CPU per event, two workers over one"
        table.add_row("two workers", f"{result['two_workers_ratio']:.3f}", "<= 1.1", how)
    if "start_seconds" in result:
        how = (
            f"{result['start_with_join_seconds']} s with {result['join_seconds']} s of joining; "
            f"{result['start_cpu_seconds']} s of CPU"
        )
        table.add_row("start to first step", f"{result['start_seconds']} s", "<= 5", how)
    if "worker_rss_mb" in result:
        how = f"{result['customers_seen']:,} seen, {result['worker_peak_mb']:.0f} MB at most"
        table.add_row("memory of the worker", f"{result['worker_rss_mb']:.0f} MB", "<= 500", how)
    if "natural" in result:
        natural = result["natural"]
        how = ", ".join(f"{kind} {used:g}" for kind, used in natural["redis_bytes_by_kind"].items())
        used = f"{result['redis_bytes_per_customer']:.0f} bytes"
        table.add_row("Redis per customer", used, "<= 750", how)
        trainer = result["trainer"]
        how = (
            f"in {trainer['seconds']:g} s at {trainer['events_per_second']} events/s, "
            f"{trainer['first_share']:.1%} in the first {trainer['first_seconds']:g} s"
        )
        table.add_row("trainer", f"{result['trainer_cpu_share']:.1%} of a core", "<= 10 %", how)
    if "largest" in result:
        for name, figure in result["largest"].items():
            table.add_row(name, f"{figure:g}", "", "largest")
    return table
