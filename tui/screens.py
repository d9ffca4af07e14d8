"""The dialogs: a question, a choice, a form, a text. Each opens over the console and gives one answer.

Never acts on Enter alone where something is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from ..widgets.bars import Bar
from ..widgets.glyphs import UNICODE
from ..widgets.line_view import LineView
from ..widgets.page import TextLine, TextPage
from ..widgets.spans import Span, Spans, crop, inert, pad, span
from .fuzzy import rank
from .plans import Plan

if TYPE_CHECKING:
    from .app import ConsoleApp

T = TypeVar("T")


class Dialog(ModalScreen[T], Generic[T]):
    """A box in the middle: a title, lines, perhaps a field, and a line that says which keys do what."""

    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > Vertical { width: 80; height: auto; background: $background; border: round $primary; padding: 0 1;
        border-title-color: $foreground; border-title-style: bold; }
    Dialog LineView { width: 1fr; height: 3; }
    Dialog Input { border: none; height: 1; padding: 0 1; margin: 0; background: $surface; width: 1fr; }
    Dialog Input:focus { border: none; }
    Dialog Bar { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", show=False)]
    WIDTH = 84
    LIT = False  # whether the cursor of the lines is in use while a field has the keys

    def __init__(self, title: str, lines: Sequence[TextLine], keys: Spans, *, cursor: bool = False) -> None:
        super().__init__()
        self._title_text = title
        self._keys = keys
        self.page = TextPage(cursor=cursor)
        self.page.set_lines(lines)

    @property
    def console_app(self) -> ConsoleApp:
        return self.app  # type: ignore[return-value]

    def compose(self) -> ComposeResult:
        app = self.console_app
        view = LineView(self.page, glyphs=getattr(app, "glyphs", UNICODE), title_line=False, id="lines")
        view.set_palette(app.palette)
        view.lit = self.LIT
        keys = Bar(lambda width: [self._keys], id="keys")
        keys.set_palette(app.palette)
        with Vertical():
            yield from self.above()
            yield view
            yield from self.below()
            yield keys

    def above(self) -> ComposeResult:
        """Widgets above the lines."""
        yield from ()

    def below(self) -> ComposeResult:
        """Widgets between the lines and the keys."""
        yield from ()

    def on_mount(self) -> None:
        from textual.content import Content

        self.query_one(Vertical).border_title = Content(span(self._title_text)[0])
        self.fit_box()
        for field in self.query(Input):
            field.cursor_blink = False
        fields = self.query(Input)
        (fields.first() if fields else self.query_one("#lines", LineView)).focus()

    def on_resize(self) -> None:
        self.fit_box()

    def fit_box(self) -> None:
        """As wide as it likes and as high as its lines are, within the screen."""
        size = self.app.size
        width = min(self.WIDTH, size.width - (2 if size.width >= 44 else 0))
        extra = 3 + len(self.query(Input))
        inner = max(8, width - 4)
        self.page.fit(inner - 2)
        lines = self.page.count or len(self.page.empty(inner - 2))
        self.query_one(Vertical).styles.width = width
        view = self.query_one("#lines", LineView)
        view.display = lines > 0
        view.styles.height = max(1, min(lines, size.height - extra))

    def action_leave(self) -> None:
        self.dismiss(None)


def keys_line(*pairs: tuple[str, str]) -> Spans:
    """`y yes   esc no` for the last line of a dialog."""
    line: list[Span] = [(" ", "")]
    for key, word in pairs:
        line += [(key, "accent+b"), (f" {word}   ", "muted")]
    return tuple(line)


class ConfirmDialog(Dialog[str]):
    """Asks. Gives "y" or the word that was typed; None where nothing is to be done. Enter alone does nothing.

    Where the plan has another, tab asks that one instead; `plan` is the one that was answered.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_lines(-1)", "up", show=False),
        Binding("down", "scroll_lines(1)", "down", show=False),
        Binding("pageup", "scroll_lines(-5)", "page up", show=False),
        Binding("pagedown", "scroll_lines(5)", "page down", show=False),
        Binding("tab", "other", "the other way", show=False, priority=True),
    ]

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(plan.title, _lines_of(plan), _keys_of(plan))

    def action_scroll_lines(self, delta: int) -> None:
        view = self.query_one("#lines", LineView)
        self.page.scroll_to(self.page.top + delta, view.body_height)
        view.sync()

    def action_other(self) -> None:
        if self.plan.other is None:
            return
        self.plan = replace(self.plan.other, other=replace(self.plan, other=None))
        self._keys = _keys_of(self.plan)
        self.page.set_lines(_lines_of(self.plan))
        self.fit_box()
        self.query_one("#lines", LineView).sync()
        self.query_one("#keys", Bar).sync()

    def below(self) -> ComposeResult:
        if self.plan.word:
            yield Input(id="word", select_on_focus=False)

    def on_key(self, event: Any) -> None:
        if self.plan.word:
            return
        if event.key in ("y", "Y"):
            event.stop()
            self.dismiss("y")
        elif event.key in ("n", "N", "q"):
            event.stop()
            self.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip() == self.plan.word:
            self.dismiss(event.value.strip())
        else:
            event.input.value = ""


def _lines_of(plan: Plan) -> list[TextLine]:
    if not plan.word:
        return [*plan.lines, TextLine()]
    return [*plan.lines, TextLine(), TextLine((("Type ", ""), span(plan.word, "error+b"), (" to go on:", "")))]


def _keys_of(plan: Plan) -> Spans:
    other = [("tab", span(plan.other_words)[0])] if plan.other is not None else []
    if plan.word:
        return keys_line(("enter", f"once {span(plan.word)[0]} is typed"), *other, ("esc", "no"))
    return keys_line(("y", "yes"), *other, ("esc", "no"))


class KeysDialog(Dialog[str]):
    """Says something and offers a few keys; gives the name of the one that was pressed, or None."""

    def __init__(self, title: str, lines: Sequence[TextLine], keys: Sequence[tuple[str, str, str]]) -> None:
        """`keys` are (key, name, words)."""
        self._names = {key: name for key, name, _ in keys}
        pairs = [(key, words) for key, _, words in keys]
        super().__init__(title, [*lines, TextLine()], keys_line(*pairs, ("esc", "later")))

    def on_key(self, event: Any) -> None:
        name = self._names.get(event.key)
        if name is not None:
            event.stop()
            self.dismiss(name)


class TextDialog(Dialog[str]):
    """Shows a text that can be long; gives the key of the line that Enter was pressed on, or None."""

    WIDTH = 110

    def __init__(self, title: str, lines: Sequence[TextLine], *, copyable: str = "", enter: str = "") -> None:
        """`enter` says what Enter does on a line that can be chosen; `e` does the same."""
        pairs = [("esc", "close"), *([("y", "copy")] if copyable else []), *([("enter", enter)] if enter else [])]
        super().__init__(title, lines, keys_line(*pairs), cursor=any(line.key for line in lines))
        self._copyable = copyable

    def on_key(self, event: Any) -> None:
        if event.key in ("q", "question_mark"):
            event.stop()
            self.dismiss(None)
        elif event.key == "y" and self._copyable:
            event.stop()
            self.console_app.copy_text(self._copyable)
        elif event.key == "e" and self.page.home().startswith("place:"):
            event.stop()
            self.dismiss(self.page.home())

    def on_line_view_chosen(self, event: LineView.Chosen) -> None:
        event.stop()
        if event.key:
            self.dismiss(event.key)


class QuitDialog(Dialog[bool]):
    """Says what goes on running when the console is left."""

    def __init__(self, running: Sequence[str], host: str) -> None:
        if running:
            lines = [
                TextLine((("Leaving is safe: nothing is cancelled. This goes on at ", ""), span(host, "b"), (":", ""))),
                TextLine(),
                *(TextLine((("  ", ""), span(item)), indent=4) for item in running[:8]),
            ]
        else:
            lines = [TextLine((("Leaving is safe: nothing runs now, and the loop keeps its place.", ""),))]
        if len(running) > 8:
            lines.append(TextLine(((f"  and {len(running) - 8} more", "muted"),)))
        lines += [TextLine(), TextLine((("The next start of dbops-tui here goes on watching.", "muted"),)), TextLine()]
        super().__init__("Quit", lines, keys_line(("q", "quit"), ("esc", "stay")))

    def on_key(self, event: Any) -> None:
        if event.key in ("q", "y", "ctrl+c", "ctrl+q"):
            event.stop()
            self.dismiss(True)


@dataclass(frozen=True, slots=True)
class Choice:
    """One line to choose: its id, its name, what is said of it, and the key that leads there too."""

    id: str
    name: str
    hint: str = ""
    key: str = ""


class PickDialog(Dialog[str]):
    """A list that is searched while typing; gives the id of the choice, or None."""

    WIDTH = 92
    LIT = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,ctrl+n", "next(1)", "next", show=False, priority=True),
        Binding("up,ctrl+p", "next(-1)", "previous", show=False, priority=True),
        Binding("pagedown", "next(10)", "page down", show=False, priority=True),
        Binding("pageup", "next(-10)", "page up", show=False, priority=True),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], *, hint: str = "") -> None:
        self.choices = tuple(choices)
        super().__init__(title, [], keys_line(("enter", hint or "choose"), ("esc", "close")), cursor=True)
        self._filter("")

    def above(self) -> ComposeResult:
        yield Input(id="search", select_on_focus=False)

    def fit_box(self) -> None:
        super().fit_box()
        # Its height stays while the list gets shorter, so that the field does not jump.
        size = self.app.size
        lines = min(max(len(self.choices), 1), max(1, size.height - 6), 18)
        self.query_one("#lines", LineView).styles.height = lines

    def _filter(self, text: str) -> None:
        found = rank(text, self.choices, lambda choice: choice.name, lambda choice: choice.hint)
        width = max((len(choice.name) for choice in self.choices), default=10)
        width = min(width, 40) + 2
        lines = [
            TextLine(
                (
                    (pad(span(choice.name)[0], width), ""),
                    (pad(choice.key, 6), "accent"),
                    span(crop(choice.hint, 90), "muted"),
                ),
                key=choice.id,
                indent=width + 6,
            )
            for choice in found
        ]
        self.page.set_lines(lines, empty=[(("Nothing is called so.", "muted"),)])
        self.page.wraps = False
        self.page.cursor, self.page.top = 0, 0

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._filter(event.value)
        self.query_one("#lines", LineView).sync()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._choose()

    def on_line_view_chosen(self, event: LineView.Chosen) -> None:
        event.stop()
        self._choose()

    def _choose(self) -> None:
        if self.page.count:
            self.dismiss(self.page.home())

    def action_next(self, delta: int) -> None:
        view = self.query_one("#lines", LineView)
        self.page.move(delta, view.body_height)
        view.sync()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    name: str
    value: str = ""
    hint: str = ""


class FormDialog(Dialog[dict[str, str]]):
    """Fields to fill in; Enter goes to the next, and at the last to the question. Gives the values, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "field(1)", "next", show=False, priority=True),
        Binding("up", "field(-1)", "previous", show=False, priority=True),
        Binding("ctrl+s", "submit", "go on", show=False, priority=True),
    ]
    DEFAULT_CSS = "FormDialog Input { margin: 0 0 0 2; }"

    def __init__(self, title: str, fields: Sequence[Field], note: str = "") -> None:
        self.fields = tuple(fields)
        lines = [TextLine((span(note, "muted"),))] if note else []
        keys = keys_line(("enter", "next field, then go on"), ("ctrl+s", "go on"), ("esc", "no"))
        super().__init__(title, lines, keys)

    def below(self) -> ComposeResult:
        for number, field in enumerate(self.fields):
            label = Bar(lambda width, field=field: [_field_label(field)])  # type: ignore[misc]
            label.set_palette(self.console_app.palette)
            yield label
            yield Input(inert(field.value), id=f"field-{number}", select_on_focus=False)

    def fit_box(self) -> None:
        super().fit_box()
        box = self.query_one(Vertical)
        box.styles.max_height = self.app.size.height
        box.styles.overflow_y = "auto"

    def _inputs(self) -> list[Input]:
        return list(self.query(Input))

    def action_field(self, delta: int) -> None:
        inputs = self._inputs()
        at = next((number for number, field in enumerate(inputs) if field.has_focus), 0)
        inputs[(at + delta) % len(inputs)].focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input is self._inputs()[-1]:
            self.action_submit()
        else:
            self.action_field(1)

    def action_submit(self) -> None:
        values = [field.value for field in self._inputs()]
        self.dismiss({field.name: value for field, value in zip(self.fields, values, strict=True)})


def _field_label(field: Field) -> Spans:
    return (span(f" {field.name}", ""), span(f"  {field.hint}", "muted"))
