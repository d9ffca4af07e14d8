"""When a resource runs next: the Quartz format by the book, time zones, and whatever a configuration may hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dbops_tui.core.schedules import Cron, CronError, Trigger, cron_words, next_runs, trigger_of, zone_known
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 11, 24, 12, 0, 0)  # a Tuesday


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def times(expression: str, count: int = 3, after: datetime = NOON) -> list[str]:
    found = Cron.parse(expression).after(after)
    return [next(found).strftime("%Y-%m-%d %H:%M:%S") for _ in range(count)]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("0 0 6 * * ?", ["2026-11-25 06:00:00", "2026-11-26 06:00:00", "2026-11-27 06:00:00"]),
        ("0 0 12 * * ?", ["2026-11-25 12:00:00", "2026-11-26 12:00:00", "2026-11-27 12:00:00"]),
        ("0 0/15 * * * ?", ["2026-11-24 12:15:00", "2026-11-24 12:30:00", "2026-11-24 12:45:00"]),
        ("30 5 */6 * * ?", ["2026-11-24 12:05:30", "2026-11-24 18:05:30", "2026-11-25 00:05:30"]),
        ("0 0 22-2 ? * FRI", ["2026-11-27 00:00:00", "2026-11-27 01:00:00", "2026-11-27 02:00:00"]),
        ("0 0 9 ? * SAT-MON", ["2026-11-28 09:00:00", "2026-11-29 09:00:00", "2026-11-30 09:00:00"]),
        ("0 0 9 ? * 2", ["2026-11-30 09:00:00", "2026-12-07 09:00:00", "2026-12-14 09:00:00"]),
        ("0 0 9 L * ?", ["2026-11-30 09:00:00", "2026-12-31 09:00:00", "2027-01-31 09:00:00"]),
        ("0 0 9 L-1 * ?", ["2026-11-29 09:00:00", "2026-12-30 09:00:00", "2027-01-30 09:00:00"]),
        ("0 0 9 LW * ?", ["2026-11-30 09:00:00", "2026-12-31 09:00:00", "2027-01-29 09:00:00"]),
        ("0 0 9 1W * ?", ["2026-12-01 09:00:00", "2027-01-01 09:00:00", "2027-02-01 09:00:00"]),
        ("0 0 9 1W 8 ?", ["2027-08-02 09:00:00", "2028-08-01 09:00:00", "2029-08-01 09:00:00"]),
        ("0 0 9 ? * 6L", ["2026-11-27 09:00:00", "2026-12-25 09:00:00", "2027-01-29 09:00:00"]),
        ("0 0 9 ? * 2#1", ["2026-12-07 09:00:00", "2027-01-04 09:00:00", "2027-02-01 09:00:00"]),
        ("0 0 9 ? * 2#5", ["2026-11-30 09:00:00", "2027-03-29 09:00:00", "2027-05-31 09:00:00"]),
        ("0 0 0 29 2 ?", ["2028-02-29 00:00:00", "2032-02-29 00:00:00", "2036-02-29 00:00:00"]),
        ("0 0 0 1 JAN,JUL ? 2027-2028", ["2027-01-01 00:00:00", "2027-07-01 00:00:00", "2028-01-01 00:00:00"]),
    ],
)
def test_the_next_times_of_an_expression(expression: str, wanted: list[str]) -> None:
    assert times(expression) == wanted


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "",
            "* * * * *",
            "0 0 6 * * MON-",
            "0 0 24 * * ?",
            "0 60 0 * * ?",
            "0 0 0 32 * ?",
            "0 0 0 ? 13 ?",
            "0 0 0 ? * 8",
        ),
        *(
            "0 0 0 ? * ?",
            "0 0 0 1 * MON",
            "0 0 0 LX * ?",
            "0 0 0 ? * 2#6",
            "0 0 0 ? * L2",
            "0 0/0 * * * ?",
            "${var.cron}",
        ),
        *("0 0 0 * * ? 1969", "0 0 ٣ * * ?", "0 0 -1 * * ?", "0 0 1/ * * ?"),
    ],
)
def test_what_is_no_expression_is_said_and_has_no_times(expression: str) -> None:
    with pytest.raises(CronError):
        Cron.parse(expression)
    assert next_runs(Trigger("cron", "schedule", "", expression=expression), ms(NOON)) == ()
    assert cron_words(expression) == ""


FIELD = st.sampled_from(["*", "0", "5", "0/7", "3-9", "50-10", "1,2,30", "*/11"])
HOUR = st.sampled_from(["*", "0", "6", "*/5", "22-3", "1,13"])
DAYS = st.sampled_from(
    [
        ("*", "?"),
        ("?", "*"),
        ("L", "?"),
        ("15W", "?"),
        ("1,15", "?"),
        ("L-2", "?"),
        ("?", "MON-FRI"),
        ("?", "6L"),
        ("?", "3#2"),
    ]
)
MONTH = st.sampled_from(["*", "2", "JAN-MAR", "11-2", "*/3"])


@given(FIELD, FIELD, HOUR, DAYS, MONTH, st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)))
def test_times_are_in_order_after_the_moment_and_each_fits_the_expression(
    second: str, minute: str, hour: str, days: tuple[str, str], month: str, moment: datetime
) -> None:
    cron = Cron.parse(f"{second} {minute} {hour} {days[0]} {month} {days[1]}")
    found = cron.after(moment)
    before = moment
    for _ in range(4):
        time = next(found)
        assert time > before
        assert time.second in cron.seconds
        assert time.minute in cron.minutes
        assert time.hour in cron.hours
        assert time.month in cron.months
        assert time.day in cron.days(time.year, time.month)
        before = time


@given(FIELD, FIELD, HOUR, DAYS, st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)))
def test_no_time_is_left_out(second: str, minute: str, hour: str, days: tuple[str, str], moment: datetime) -> None:
    """What stands between the moment and the first time that is given, second by second for an hour, fits nothing."""
    cron = Cron.parse(f"{second} {minute} {hour} {days[0]} * {days[1]}")
    first = next(cron.after(moment))
    time = moment.replace(microsecond=0) + timedelta(seconds=1)
    for _ in range(3_600):
        if time >= first:
            break
        fits = time.second in cron.seconds and time.minute in cron.minutes and time.hour in cron.hours
        assert not (fits and time.day in cron.days(time.year, time.month)), time
        time += timedelta(seconds=1)


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"]),
    st.sampled_from(["0 30 2 * * ?", "0 0/30 * * * ?", "0 0 0 * * ?", "0 59 1 ? * SUN"]),
    st.integers(1_577_836_800, 1_893_456_000),
)
def test_in_every_zone_times_come_in_order_and_after_now(zone: str, expression: str, now: int) -> None:
    found = next_runs(Trigger("cron", "schedule", "", expression=expression, zone=zone), now * 1000, 5)
    assert len(found) == 5
    assert list(found) == sorted(set(found))
    assert found[0] > now * 1000


def test_a_time_that_the_clocks_leave_out_moves_forward_and_one_they_repeat_counts_once() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    trigger = Trigger("cron", "schedule", "", expression="0 30 2 * * ?", zone="Europe/Berlin")
    spring = next_runs(trigger, ms(datetime(2027, 3, 27, 12, tzinfo=berlin)), 2)
    assert [datetime.fromtimestamp(t / 1000, berlin).strftime("%d %H:%M") for t in spring] == ["28 03:30", "29 02:30"]
    autumn = next_runs(trigger, ms(datetime(2026, 10, 24, 12, tzinfo=berlin)), 2)
    assert [datetime.fromtimestamp(t / 1000, berlin).strftime("%d %H:%M") for t in autumn] == ["25 02:30", "26 02:30"]


def test_a_schedule_is_told_in_its_own_zone() -> None:
    trigger = trigger_of({"schedule": {"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "Asia/Tokyo"}})
    assert trigger is not None
    assert trigger.words == "daily at 06:00 Asia/Tokyo"
    (found,) = next_runs(trigger, ms(NOON.replace(tzinfo=UTC)))
    assert datetime.fromtimestamp(found / 1000, UTC) == datetime(2026, 11, 24, 21, 0, tzinfo=UTC)


def test_a_zone_nobody_knows_has_words_and_no_times() -> None:
    trigger = trigger_of({"schedule": {"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "Mars/Olympus"}})
    assert trigger is not None
    assert trigger.words == "daily at 06:00 Mars/Olympus"
    assert next_runs(trigger, ms(NOON)) == ()
    assert not zone_known("../../etc/passwd")


@pytest.mark.parametrize(
    ("config", "kind", "words", "paused"),
    [
        (
            {"schedule": {"quartz_cron_expression": "0 0 6 ? * MON-FRI", "pause_status": "PAUSED"}},
            *("cron", "Mon-Fri at 06:00 UTC", True),
        ),
        ({"schedule": {"quartz_cron_expression": "${var.cron}"}}, "cron", "${var.cron} UTC", False),
        ({"trigger": {"periodic": {"interval": 4, "unit": "HOURS"}}}, "periodic", "every 4 hours", False),
        ({"trigger": {"periodic": {"interval": "1", "unit": "DAYS"}}}, "periodic", "every day", False),
        (
            {"trigger": {"file_arrival": {"url": "/Volumes/a/b/c/"}, "pause_status": "UNPAUSED"}},
            *("file_arrival", "when files arrive: /Volumes/a/b/c/", False),
        ),
        (
            {"trigger": {"table_update": {"table_names": ["a.b.c", "a.b.d"]}}},
            *("table_update", "when tables change: a.b.c, a.b.d", False),
        ),
        ({"trigger": {"model": {}, "pause_status": "PAUSED"}}, "other", "model", True),
        ({"trigger": {"cron": {"quartz_cron_schedule": "0 5 * * * ?"}}}, "cron", "hourly at :05 UTC", False),
        ({"continuous": {"pause_status": "PAUSED"}}, "continuous", "continuous", True),
        ({"continuous": True}, "continuous", "continuous", False),
    ],
)
def test_a_configuration_says_when_in_words(config: dict[str, object], kind: str, words: str, paused: bool) -> None:
    trigger = trigger_of(config)
    assert trigger is not None
    assert (trigger.kind, trigger.words, trigger.paused) == (kind, words, paused)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"schedule": None},
        {"schedule": "daily"},
        {"trigger": []},
        {"trigger": {}},
        {"continuous": False},
        {"trigger": 3},
    ],
)
def test_a_configuration_without_a_schedule_has_none(config: dict[str, object]) -> None:
    assert trigger_of(config) is None


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "schedule": st.fixed_dictionaries({"quartz_cron_expression": ANY, "timezone_id": ANY, "pause_status": ANY})
            | ANY,
            "trigger": st.fixed_dictionaries(
                {},
                optional={
                    "periodic": st.fixed_dictionaries(
                        {"interval": ANY, "unit": st.sampled_from(["HOURS", 3, "", None])}
                    ),
                    **dict.fromkeys(("file_arrival", "table_update", "cron", "x"), ANY),
                },
            ),
            "continuous": ANY,
        },
    )
)
def test_whatever_a_person_wrote_nothing_breaks(config: dict[str, object]) -> None:
    trigger = trigger_of(config)
    if trigger is not None:
        assert isinstance(trigger.words, str)
        assert len(next_runs(trigger, ms(NOON), last_start_ms=ms(NOON) - 1)) <= 1


@given(st.integers(1, 400), st.integers(0, 10_000_000_000))
def test_a_periodic_trigger_counts_from_the_last_start(hours: int, later: int) -> None:
    trigger = trigger_of({"trigger": {"periodic": {"interval": hours, "unit": "HOURS"}}})
    assert trigger is not None
    start = ms(NOON)
    found = next_runs(trigger, start + later, 2, last_start_ms=start)
    assert found[0] > start + later
    assert found[0] - (start + later) <= trigger.every_ms
    assert (found[0] - start) % trigger.every_ms == 0
    assert found[1] - found[0] == trigger.every_ms
    assert next_runs(trigger, start + later) == ()


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 0 6 * * ?", "daily at 06:00"),
        ("0 30 7 ? * MON,WED", "Mon, Wed at 07:30"),
        ("0 0/20 * * * ?", "every 20 minutes"),
        ("0 10 * * * ?", "hourly at :10"),
        ("0 0 6 1 * ?", ""),
        ("0 0 6 * 3 ?", ""),
        ("0 0 6,18 * * ?", ""),
        ("0 0/7 * * * ?", ""),
    ],
)
def test_the_schedules_that_most_jobs_have_are_said_in_words(expression: str, words: str) -> None:
    assert cron_words(expression) == words
