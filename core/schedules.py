"""When a resource runs by itself, as its configuration says, and when it will run next: Quartz, periodic, and in words.

Never asks the workspace and never changes a schedule; what cannot be read has words, and no times.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Literal

Kind = Literal["cron", "periodic", "continuous", "file_arrival", "table_update", "other"]

_MONTHS = dict(
    zip(("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), range(1, 13), strict=True)
)
_DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
_UNITS = {"MINUTES": 60, "HOURS": 3_600, "DAYS": 86_400, "WEEKS": 604_800}
_FIRST_YEAR, _LAST_YEAR = 1970, 2099  # what Quartz takes


class CronError(ValueError):
    """The expression is none that Quartz would take; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What makes a resource run by itself. `section` is the key of the YAML that says so, `words` say it to a person.

    `expression` and `zone` are of a cron schedule, `every_ms` of a periodic one.
    """

    kind: Kind
    section: str
    words: str
    paused: bool = False
    expression: str = ""
    zone: str = "UTC"
    every_ms: int = 0


@dataclass(frozen=True, slots=True)
class Cron:
    """A Quartz expression: seconds, minutes, hours, day of month, month, day of week (1 is Sunday), and maybe a year.

    Source: the format that `quartz_cron_expression` of the Jobs API names (Quartz CronTrigger).
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    day_of_month: str  # "" for any
    months: frozenset[int]
    day_of_week: str  # "" for any
    years: frozenset[int]

    @classmethod
    def parse(cls, expression: str) -> Cron:
        """Raises CronError."""
        fields = expression.upper().split()
        if len(fields) not in (6, 7):
            raise CronError(f"six or seven fields are wanted, not {len(fields)}")
        day, week = ("" if field in ("?", "*") else field for field in (fields[3], fields[5]))
        if fields[3] == "?" == fields[5]:
            raise CronError("one of day of month and day of week has to say something")
        if day and week:
            raise CronError("of day of month and day of week one has to be ?")
        cron = cls(
            tuple(sorted(_values(fields[0], 0, 59))),
            tuple(sorted(_values(fields[1], 0, 59))),
            tuple(sorted(_values(fields[2], 0, 23))),
            day,
            _values(fields[4], 1, 12, _MONTHS),
            week,
            _values(fields[6], _FIRST_YEAR, _LAST_YEAR)
            if len(fields) == 7
            else frozenset(range(_FIRST_YEAR, _LAST_YEAR + 1)),
        )
        cron.days(2024, 1)  # says no to what days cannot be
        return cron

    def days(self, year: int, month: int) -> list[int]:
        """The days of that month it falls on, in order."""
        last = calendar.monthrange(year, month)[1]
        if self.day_of_month:
            found = {day for part in self.day_of_month.split(",") for day in _month_days(part, year, month, last)}
        elif self.day_of_week:
            found = {day for part in self.day_of_week.split(",") for day in _week_days(part, year, month, last)}
        else:
            found = set(range(1, last + 1))
        return sorted(day for day in found if 1 <= day <= last)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """All times after `moment`, in order, by a clock on the wall that knows no zone."""
        start = moment.replace(tzinfo=None, microsecond=0) + timedelta(seconds=1)
        for year in range(start.year, _LAST_YEAR + 1):
            if year not in self.years:
                continue
            for month in range(start.month if year == start.year else 1, 13):
                if month in self.months:
                    yield from self._within(year, month, start)

    def _within(self, year: int, month: int, start: datetime) -> Iterator[datetime]:
        for day in self.days(year, month):
            if date(year, month, day) < start.date():
                continue
            for hour in self.hours:
                if datetime(year, month, day, hour, 59, 59) < start:
                    continue
                for minute in self.minutes:
                    for second in self.seconds:
                        found = datetime(year, month, day, hour, minute, second)
                        if found >= start:
                            yield found


def _values(field: str, low: int, high: int, names: Mapping[str, int] | None = None) -> frozenset[int]:
    """The numbers a field stands for: `*`, `a`, `a-b` (which may go round), `a/n`, `a-b/n`, and lists of these."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, 1, high - low + 1) if slash else 1
        if span in ("*", "?"):
            first, last = low, high
        elif "-" in span:
            left, _, right = span.partition("-")
            first, last = _number(left, low, high, names), _number(right, low, high, names)
        else:
            first = _number(span, low, high, names)
            last = high if slash else first
        length = last - first if last >= first else last + (high - low + 1) - first
        found.update((first - low + offset) % (high - low + 1) + low for offset in range(0, length + 1, step))
    return frozenset(found)


def _number(text: str, low: int, high: int, names: Mapping[str, int] | None = None) -> int:
    if names and text in names:
        return names[text]
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and low <= int(text) <= high):
        raise CronError(f"{text or 'nothing'} stands where a number from {low} to {high} is wanted")
    return int(text)


def _month_days(part: str, year: int, month: int, last: int) -> set[int]:
    """`15`, `1-5`, `L` (the last), `L-3` (three before it), `15W` and `LW` (the nearest day from Monday to Friday)."""
    if part.startswith("L"):
        rest = part[1:].removesuffix("W")
        day = last - (_number(rest[1:], 0, 30) if rest.startswith("-") else 0)
        if rest and not rest.startswith("-"):
            raise CronError(f"{part} is no day of a month")
        return {_nearest_weekday(year, month, day, last) if part.endswith("W") else day} if day >= 1 else set()
    if part.endswith("W"):
        day = _number(part[:-1], 1, 31)
        return {_nearest_weekday(year, month, day, last)} if day <= last else set()
    return set(_values(part, 1, 31))


def _nearest_weekday(year: int, month: int, day: int, last: int) -> int:
    """Within the month: a Saturday the 1st becomes Monday the 3rd, a Sunday the last becomes the Friday before."""
    weekday = date(year, month, day).weekday()
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < last else day - 2
    return day


def _week_days(part: str, year: int, month: int, last: int) -> set[int]:
    """`MON`, `2-6`, `L` (Saturday), `6L` (the last Friday), `2#1` (the first Monday)."""
    if part == "L":
        return set(_days_of(7, year, month, last))
    if part.endswith("L"):
        return {_days_of(_number(part[:-1], 1, 7, _DAYS), year, month, last)[-1]}
    if "#" in part:
        name, _, which = part.partition("#")
        days = _days_of(_number(name, 1, 7, _DAYS), year, month, last)
        number = _number(which, 1, 5)
        return set(days[number - 1 : number])
    return {day for weekday in _values(part, 1, 7, _DAYS) for day in _days_of(weekday, year, month, last)}


def _days_of(weekday: int, year: int, month: int, last: int) -> list[int]:
    """The days of the month that are this weekday; 1 is Sunday."""
    first = (date(year, month, 1).weekday() + 1) % 7 + 1
    return list(range((weekday - first) % 7 + 1, last + 1, 7))


# --- what a configuration says ----------------------------------------------------------------------------------------


def trigger_of(config: Mapping[str, Any]) -> Trigger | None:
    """What the configuration of a job, pipeline, alert or monitor says of running by itself; None where it does not.

    Never raises: the configuration may be as a person left it.
    """
    schedule = config.get("schedule")
    if isinstance(schedule, Mapping):
        return _cron("schedule", schedule, _paused(schedule))
    trigger = config.get("trigger")
    if isinstance(trigger, Mapping):
        return _of_trigger(trigger)
    continuous = config.get("continuous")
    if isinstance(continuous, Mapping):
        return Trigger("continuous", "continuous", "continuous", _paused(continuous))
    return Trigger("continuous", "continuous", "continuous") if continuous is True else None


def _of_trigger(trigger: Mapping[str, Any]) -> Trigger | None:
    paused = _paused(trigger)
    cron, periodic = trigger.get("cron"), trigger.get("periodic")
    if isinstance(cron, Mapping):
        return _cron("trigger", cron, paused)
    if isinstance(periodic, Mapping):
        unit = str(periodic.get("unit", "")).upper()
        text = str(periodic.get("interval", ""))
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0
        word = unit.lower().removesuffix("s") if number == 1 else unit.lower()
        words = f"every {word}" if number == 1 else f"every {text} {word}".rstrip()
        return Trigger("periodic", "trigger", words, paused, every_ms=number * _UNITS.get(unit, 0) * 1000)
    for name, kind in (("file_arrival", "file_arrival"), ("table_update", "table_update"), ("table", "table_update")):
        part = trigger.get(name)
        if isinstance(part, Mapping):
            what = part.get("url") or part.get("table_names") or ""
            tables = ", ".join(map(str, what)) if isinstance(what, (list, tuple)) else str(what)
            verb = "when files arrive" if kind == "file_arrival" else "when tables change"
            words = f"{verb}: {tables}" if tables else verb
            return Trigger("file_arrival" if kind == "file_arrival" else "table_update", "trigger", words, paused)
    others = [str(name).replace("_", " ") for name in trigger if name != "pause_status"]
    return Trigger("other", "trigger", ", ".join(others), paused) if others else None


def _cron(section: str, schedule: Mapping[str, Any], paused: bool) -> Trigger:
    expression = str(schedule.get("quartz_cron_expression") or schedule.get("quartz_cron_schedule") or "")
    zone = str(schedule.get("timezone_id") or "UTC")
    said = cron_words(expression)
    words = f"{said} {zone}" if said else f"{expression} {zone}"
    return Trigger("cron", section, words, paused, expression, zone)


def _paused(section: Mapping[str, Any]) -> bool:
    return str(section.get("pause_status", "")).upper() == "PAUSED"


def cron_words(expression: str) -> str:
    """The expressions that most schedules are, in words (`daily at 06:00`); empty for any other."""
    try:
        cron = Cron.parse(expression)
    except CronError:
        return ""
    fields = expression.upper().split()
    if fields[4] != "*" or len(fields) == 7 or len(cron.seconds) != 1 or cron.day_of_month:
        return ""
    days = "" if not cron.day_of_week else _day_words(cron.day_of_week)
    if cron.day_of_week and not days:
        return ""
    if len(cron.hours) == 1 and len(cron.minutes) == 1:
        return f"{days or 'daily'} at {cron.hours[0]:02}:{cron.minutes[0]:02}"
    if cron.day_of_week or len(cron.hours) != 24:
        return ""
    if len(cron.minutes) == 1:
        return f"hourly at :{cron.minutes[0]:02}"
    step = cron.minutes[1] - cron.minutes[0]
    return f"every {step} minutes" if 60 % step == 0 and cron.minutes == tuple(range(0, 60, step)) else ""


def _day_words(field: str) -> str:
    if "L" in field or "#" in field:
        return ""
    names = list(_DAYS)
    days = sorted(_values(field, 1, 7, _DAYS))
    if days == [2, 3, 4, 5, 6]:
        return "Mon-Fri"
    return ", ".join(names[day - 1].capitalize() for day in days)


# --- the next times ---------------------------------------------------------------------------------------------------


def next_runs(trigger: Trigger, after_ms: int, count: int = 1, *, last_start_ms: int = 0) -> tuple[int, ...]:
    """The next `count` times in epoch ms after `after_ms`; empty where it is paused or nobody can tell.

    A periodic trigger counts from `last_start_ms`, the start of its last run. A time that the clocks of the zone leave
    out in spring is moved forward, one that they repeat in autumn counts once.
    """
    if trigger.paused:
        return ()
    if trigger.kind == "periodic":
        every = trigger.every_ms
        if not every or not last_start_ms:
            return ()
        first = last_start_ms + max(1, (after_ms - last_start_ms) // every + 1) * every
        return tuple(first + number * every for number in range(count))
    zone = _zone(trigger.zone) if trigger.kind == "cron" else None
    if zone is None:
        return ()
    try:
        cron = Cron.parse(trigger.expression)
    except CronError:
        return ()
    found: list[int] = []
    newest = after_ms
    for wall in cron.after(datetime.fromtimestamp(after_ms / 1000, zone)):
        moment = int(wall.replace(tzinfo=zone).astimezone(UTC).timestamp() * 1000)
        if moment > newest:
            found.append(moment)
            newest = moment
        if len(found) >= count:
            break
    return tuple(found)


def zone_known(name: str) -> bool:
    """Whether this machine knows the time zone."""
    return _zone(name) is not None


def _zone(name: str) -> tzinfo | None:
    if name.upper() in ("UTC", "ETC/UTC", "GMT"):
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
