"""Text that grows by appending, while every earlier length of it stays readable."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from runstream.core.text import Text, TextBuffer, append_text, text_from


def append_fragment(pieces: Iterable[str], text: Text | None = None) -> Text:
    """`text` with these pieces after it."""
    for piece in pieces:
        text = append_text(text, piece)
    assert text is not None
    return text


def test_appending_gives_the_text() -> None:
    """The pieces come out one after the other, whatever they are made of."""
    pieces = ["Hello", "", " there", "\r\n", "\n", "\r", "\na\r", "\U0001f642", "\x00", "é"]
    text = append_fragment(pieces)
    assert str(text) == "".join(pieces)
    assert text.length == len("".join(pieces))


def test_older_handles_never_change() -> None:
    """Every earlier length of a text stays what it was, read before or after."""
    handles = [append_fragment(["a"])]
    for piece in ["bc", "d", "", "ef"]:
        handles.append(append_text(handles[-1], piece))
    assert [str(text) for text in reversed(handles)] == ["abcdef", "abcd", "abcd", "abc", "a"]
    append_text(handles[-1], "more")
    assert [str(text) for text in handles] == ["a", "abc", "abcd", "abcd", "abcdef"]


@pytest.mark.parametrize("read_first", [True, False])
def test_two_different_fragments_on_one_text(read_first: bool) -> None:
    """Both texts are right, the one that they stem from stays, and each goes on by itself."""
    base = append_fragment(["one", " "])
    if read_first:
        assert str(base) == "one "
    left, right = append_text(base, "left"), append_text(base, "right")
    assert left.buffer is base.buffer
    assert right.buffer is not base.buffer
    left, right = append_text(left, "!"), append_text(right, "?")
    assert [str(base), str(left), str(right)] == ["one ", "one left!", "one right?"]


def test_appending_touches_no_text() -> None:
    """As long as nobody reads, appending joins nothing: all handles share one buffer, whose head stays empty."""
    text = append_fragment("x" for _ in range(1000))
    assert text.buffer._head == ""
    assert text.buffer.length == 1000


def test_reading_keeps_one_join() -> None:
    """What was read once is kept, and read again without another join; appending goes on after it."""
    text = append_fragment(["ab", "cd"])
    first = text.buffer.read()
    assert text.buffer.read() is first
    assert str(text) is first
    longer = append_text(text, "ef")
    assert str(longer) == "abcdef"
    assert str(text) == "abcd"


def test_texts_are_compared_by_value() -> None:
    """Equal texts are equal and hash alike, however they were cut; other things are never equal."""
    one, other = append_fragment(["ab", "c"]), append_fragment(["a", "bc"])
    assert one == other
    assert hash(one) == hash(other)
    assert one != append_text(one, "d")
    assert one != "abc"


@pytest.mark.parametrize("read_first", [True, False])
@pytest.mark.parametrize("offset", [0, 2, 3, 5, 6])
def test_since(read_first: bool, offset: int) -> None:
    """What stands from an offset on, be it the last fragment, more or less; of older handles too."""
    text = append_fragment(["ab", "c", "def"])
    if read_first:
        str(text)
    assert text_from(text, offset) == "abcdef"[offset:]
    append_text(text, "xyz")
    assert text_from(text, offset) == "abcdef"[offset:]


def test_shown_grows_with_the_text() -> None:
    """What is appended counts as shown; after a restart only from where the old text ends."""
    text = append_fragment(["abc"])
    assert text.emitted == 3
    again = Text(TextBuffer(), 0, 3, text)
    again = append_text(again, "ab")
    assert (again.length, again.emitted, again.prior) == (2, 3, text)
    again = append_text(again, "cd")
    assert (again.length, again.emitted, again.prior) == (4, 4, text)
    assert append_text(again, "e").prior is None
