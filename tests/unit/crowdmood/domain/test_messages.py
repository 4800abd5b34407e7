"""Messages are decoded as they were encoded, and damaged ones are refused with a reason."""

import contextlib
from dataclasses import fields, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.messages import (
    PHOTO_CAMERA,
    CameraState,
    Emotions,
    Faces,
    Frame,
    FrameRef,
    FramesLost,
    Message,
    decode,
)

REF = FrameRef("north", "run-1", 7, 1400, 1280, 720, recorded=True)


def boxes(rng: np.random.Generator, n: int) -> npt.NDArray[np.int32]:
    corners = rng.integers(-5, 1000, (n, 2))
    return np.concatenate([corners, corners + rng.integers(0, 300, (n, 2))], axis=1).astype(np.int32)


def faces(n: int) -> Faces:
    rng = np.random.default_rng(n)
    return Faces(
        REF,
        boxes(rng, n),
        rng.random(n).astype(np.float32),
        rng.integers(0, 256, (n, 48, 48)).astype(np.uint8),
        "haar",
    )


def confusions(k: int) -> bytes:
    card = {
        "faces": 9,
        "priors": np.full(k, 1 / k),
        "soft_confusion": np.eye(k),
        "soft_covariance": np.zeros((k, k, k)),
    }
    known = Confusions.of_card(card)
    assert known is not None
    return known.to_bytes()


def emotions(n: int, k: int = 8) -> Emotions:
    rng = np.random.default_rng(n)
    return Emotions(
        REF,
        boxes(rng, n),
        rng.dirichlet(np.ones(k), n).astype(np.float16),
        rng.random(n).astype(np.float16),
        rng.random(n).astype(np.float16),
        "conv4-abc",
        "haar",
        confusions(k) if n else b"",
    )


MESSAGES: list[Message] = [
    Frame(REF, b"\xff\xd8 any bytes \x00"),
    faces(0),  # a frame without faces is a message too
    faces(1),
    faces(3000),
    emotions(0),
    emotions(25),
    emotions(0, k=7),
    emotions(25, k=7),
    FramesLost("north", "run-1", 3, 9, "overload"),
    CameraState("north", "run-1", "ended", True, "match.mp4", "", 300, 1_700_000_000_000),
]


def same(one: Message, other: Message) -> bool:
    pairs = ((getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return type(one) is type(other) and all(
        np.array_equal(a, b) and a.dtype == b.dtype if isinstance(a, np.ndarray) else a == b for a, b in pairs
    )


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: f"{type(m).__name__}-{len(getattr(m, 'boxes', ()))}")
def test_decodes_what_was_encoded(message: Message) -> None:
    assert same(decode(message.to_fields()), message)


@pytest.mark.parametrize("message", MESSAGES[:6], ids=lambda m: type(m).__name__)
def test_names_a_missing_field(message: Message) -> None:
    for name in message.to_fields():
        if name in (b"kind", b"v"):
            continue
        damaged = {key: value for key, value in message.to_fields().items() if key != name}
        with pytest.raises(UndecodableError, match=name.decode()):
            decode(damaged)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (b"kind", b"image", "unknown message kind"),
        (b"v", b"2", "update all stages together"),
        (b"n", b"2", "needs"),
        (b"n", b"-1", "field"),
        (b"n", b"99999999999999999999", "18 digits"),
        (b"boxes", b"abc", "has 3 bytes"),
        (b"frame_id", b"one", "not an integer"),
        (b"frame_id", b"-1", "cannot exist"),
        (b"width", b"0", "cannot exist"),
        (b"frame_id", b"999999999999999999", "cannot exist"),
        (b"width", b"999999999999", "outside 0 to"),
        (b"captured_at_ms", b"-1", "outside 0 to"),
        (b"captured_at_ms", b"999999999999999999", "outside 0 to"),
        (b"recorded", b"7", "outside 0 to 1"),
        (b"camera_id", b"\xff\xfe", "not UTF-8"),
        (b"camera_id", b"", "expected 1 to 64"),
        (b"run_id", b"x" * 65, "expected 1 to 64"),
        (b"reply_to", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_describes_the_damage(field: bytes, value: bytes, text: str) -> None:
    with pytest.raises(UndecodableError, match=text):
        decode(faces(1).to_fields() | {field: value})


@pytest.mark.parametrize("k", [b"0", b"6", b"9", b"-7", b"eight"])
def test_refuses_emotions_with_neither_seven_nor_eight_labels(k: bytes) -> None:
    for n in (0, 1):
        with pytest.raises(UndecodableError, match=r"expected 7 or 8|not an integer"):
            decode(emotions(n).to_fields() | {b"k": k})


def test_refuses_emotions_with_fewer_probabilities_than_labels() -> None:
    with pytest.raises(UndecodableError, match=r"'probabilities' has 42 bytes where shape \(3, 8\)"):
        decode(emotions(3, k=7).to_fields() | {b"k": b"8"})


def test_refuses_emotions_without_a_readable_value_for_each_face() -> None:
    with pytest.raises(UndecodableError, match="'readable' has 2 bytes"):
        decode(emotions(3).to_fields() | {b"readable": bytes(2)})


def test_refuses_confusions_of_a_wrong_size() -> None:
    with pytest.raises(UndecodableError, match="confusions of"):
        decode(emotions(1).to_fields() | {b"confusions": confusions(8)[:-4]})


def test_refuses_confusions_of_another_number_of_labels() -> None:
    with pytest.raises(UndecodableError, match="confusions of 7 labels do not match probabilities of 8"):
        decode(emotions(1).to_fields() | {b"confusions": confusions(7)})


FACE = np.array([[10, 10, 50, 50]], np.int32)
CERTAIN = np.eye(8, dtype=np.float16)[:1]


@pytest.mark.parametrize(
    ("field", "values", "text"),
    [
        ("probabilities", [[np.nan, *[0] * 7]], "from 0 to 1"),
        ("probabilities", [[np.inf, *[0] * 7]], "from 0 to 1"),
        ("probabilities", [[-0.5, 1.5, *[0] * 6]], "from 0 to 1"),
        ("probabilities", [[0.5, 0.4, *[0] * 6]], "add up to 1"),
        ("probabilities", [[0] * 8], "add up to 1"),
        ("readable", [np.nan], "'readable' has values"),
        ("readable", [1.5], "'readable' has values"),
        ("quality", [-0.1], "'quality' has values"),
        ("boxes", [[50, 10, 10, 50]], "end before they begin"),
        ("boxes", [[10, 50, 50, 10]], "end before they begin"),
        ("boxes", [[-(2**31), 10, 2**31 - 1, 50]], "'boxes' has values"),  # its width exceeds int32
        ("boxes", [[10, 10, 50, 9000]], "'boxes' has values"),
    ],
)
def test_refuses_emotions_with_impossible_values(field: str, values: object, text: str) -> None:
    one = np.ones(1, np.float16)
    good = Emotions(REF, FACE, CERTAIN, one, one, "net", "haar")
    assert same(decode(good.to_fields()), good)
    damaged = replace(good, **{field: np.array(values, getattr(good, field).dtype)})  # type: ignore[arg-type]
    with pytest.raises(UndecodableError, match=text) as refused:
        decode(damaged.to_fields())
    assert refused.value.reason == "out_of_range"


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_refuses_faces_with_a_score_that_is_not_finite(score: float) -> None:
    damaged = Faces(REF, FACE, np.array([score], np.float32), np.zeros((1, 48, 48), np.uint8), "haar")
    with pytest.raises(UndecodableError, match="'scores' has values"):
        decode(damaged.to_fields())


@pytest.mark.parametrize("damage", [np.nan, np.inf, -1.0, 2.0])
def test_refuses_confusions_with_impossible_values(damage: float) -> None:
    raw = bytearray(confusions(8))
    first_mean = 5 + 4 * (1 + 4 * 8)
    raw[first_mean : first_mean + 4] = np.float32(damage).tobytes()
    with pytest.raises(UndecodableError, match=r"not finite|not from 0 to 1"):
        decode(emotions(1).to_fields() | {b"confusions": bytes(raw)})


@pytest.mark.parametrize("reason", [b"", b"no reason", b"x" * 65])
def test_refuses_a_loss_without_a_short_reason(reason: bytes) -> None:
    with pytest.raises(UndecodableError, match="expected a short word"):
        decode(FramesLost("north", "run-1", 3, 9, "overload").to_fields() | {b"reason": reason})


def test_refuses_an_unknown_camera_state() -> None:
    message = CameraState("north", "run-1", "live", False, "", "", 0, 0)
    with pytest.raises(UndecodableError, match="unknown camera state"):
        decode(message.to_fields() | {b"state": b"asleep"})


@given(st.dictionaries(st.sampled_from([*faces(1).to_fields(), b"jpeg", b"other"]), st.binary(max_size=64)))
def test_arbitrary_bytes_raise_nothing_but_undecodable(damage: dict[bytes, bytes]) -> None:
    for message in (MESSAGES[0], MESSAGES[2], emotions(25)):
        with contextlib.suppress(UndecodableError):
            decode(message.to_fields() | damage)


def test_identities_of_two_frames_differ() -> None:
    assert replace(REF, frame_id=8) != REF
    assert FrameRef.from_fields(REF.to_fields()) == REF


PHOTO = replace(REF, camera_id=PHOTO_CAMERA, reply_to="here")


def test_loss_of_a_frame_has_its_identity_and_its_reply() -> None:
    assert FramesLost.of_frame(Frame(REF, b"").to_fields(), "overload") == FramesLost(
        "north", "run-1", 7, 7, "overload"
    )
    lost = FramesLost.of_frame(Frame(PHOTO, b"").to_fields(), "overload")
    assert lost == FramesLost(PHOTO_CAMERA, "run-1", 7, 7, "overload", reply_to="here")


@pytest.mark.parametrize("message", [Frame(PHOTO, b""), FramesLost(PHOTO_CAMERA, "run-1", 0, 0, "overload", "here")])
def test_photo_of_a_release_without_reply_to_is_answered_in_its_run(message: Frame | FramesLost) -> None:
    older = message.to_fields()
    del older[b"reply_to"]
    decoded = decode(older)
    assert (decoded.ref.reply_to if isinstance(decoded, Frame) else decoded.reply_to) == "run-1"


def test_frame_of_a_camera_has_no_reply_field() -> None:
    assert b"reply_to" not in Frame(REF, b"").to_fields()
