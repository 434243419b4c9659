"""The built-in data set: drawings of invented people, made from a seed.

It needs no download and resembles the real task. A face has its own coordinates (see `Person`), given as complex
numbers x + iy: one product rotates and scales a whole feature, and one sum moves it.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .faces import IMAGE_SIZE
from .person import Person, sample_age, sample_person

VERSION: int = 1  # raised whenever the same seed gives other images

ZOOM = 3  # faces are drawn this much larger, then scaled down to smooth the edges

Points = NDArray[np.complex128]

_CIRCLE: Points = np.exp(2j * np.pi * np.arange(36) / 36)
_UNIT = np.linspace(0, 1, 12)


def draw(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int16], NDArray[np.uint8]]:
    """Draw `count` faces. Face i depends only on `seed` and i.

    Returns:
        Grey images, uint8 of shape (count, 128, 128); ages in years, int16 of shape (count,), from 1 to 90;
        genders, uint8 of shape (count,), 0 male or 1 female.

    Raises:
        ValueError: if `count` or `seed` is negative.

    >>> images, ages, genders = draw(2, seed=0)
    >>> images.shape, images.dtype, ages.shape, genders.shape
    ((2, 128, 128), dtype('uint8'), (2,), (2,))
    >>> bool((draw(1, seed=0)[0] == images[:1]).all())
    True
    """
    if count < 0 or seed < 0:
        raise ValueError(f"draw: expected count and seed of at least 0, got count={count}, seed={seed}")
    images = np.empty((count, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    ages = np.empty(count, np.int16)
    genders = np.empty(count, np.uint8)
    for i in range(count):
        rng = np.random.Generator(np.random.PCG64([seed, i]))
        ages[i], genders[i] = sample_age(rng), rng.integers(2)
        images[i] = draw_person(sample_person(int(ages[i]), int(genders[i]), rng), rng)
    return images, ages, genders


def draw_person(person: Person, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one image, uint8 of shape (128, 128); pose, light, background and noise come from `rng`.

    >>> rng = np.random.default_rng(0)
    >>> draw_person(sample_person(30, 0, rng), rng).shape
    (128, 128)
    """
    pen = Pen(rng)
    _backdrop(pen, rng)
    _hair_behind(pen, person)
    _body(pen, person, rng)
    _ears(pen, person)
    _head(pen, person, rng)
    _beard(pen, person)
    _wrinkles(pen, person)
    _nose(pen, person)
    _mouth(pen, person)
    for side in (-1, 1):
        _eye(pen, person, side)
        _brow(pen, person, side)
    _hair_in_front(pen, person, rng)
    if person.glasses:
        _glasses(pen, person)
    return _photograph(pen.image, rng)


class Pen:
    """Draws shapes in the coordinates of a face on a canvas; the pose of the face is random.

    >>> pen = Pen(np.random.default_rng(0))
    >>> pen.oval(0, 0.5, 0.5, tone=255)
    >>> pen.image.getbbox() is not None
    True
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.image = Image.new("L", (IMAGE_SIZE * ZOOM, IMAGE_SIZE * ZOOM))
        self._draw = ImageDraw.Draw(self.image)
        self._scale = ZOOM * rng.uniform(41, 46)  # pixels per half head height
        self._turn = self._scale * np.exp(1j * rng.normal(0, 0.05))
        self._centre = ZOOM * (IMAGE_SIZE / 2 + rng.uniform(-4, 4) + 1j * (IMAGE_SIZE / 2 + rng.uniform(-1, 7)))

    def fill(self, points: Points, tone: float) -> None:
        """Fill the polygon with these corners."""
        self._draw.polygon(self._pixels(points), fill=_grey(tone))

    def shape(self, points: Points, tone: float) -> None:
        """Fill the polygon and draw its contour a little darker, as in cartoons."""
        self.fill(points, tone)
        self.line(np.append(points, points[:1]), 0.62 * tone, 0.025)

    def line(self, points: Points, tone: float, width: float) -> None:
        """Draw a line of constant width."""
        self._draw.line(self._pixels(points), fill=_grey(tone), width=max(1, round(width * self._scale)))

    def stroke(self, points: Points, tone: float, width: float) -> None:
        """Draw a line that is widest in the middle and pointed at both ends, like a brush stroke."""
        along = np.empty_like(points)
        along[:-1] = points[1:] - points[:-1]
        along[-1] = along[-2]
        half = 1j * along / np.abs(along) * width / 2 * np.sin(np.pi * np.linspace(0.04, 0.96, len(points)))
        self.fill(np.concatenate([points + half, (points - half)[::-1]]), tone)

    def oval(self, centre: complex, rx: float, ry: float, tone: float) -> None:
        """Fill an ellipse."""
        self.fill(_oval(centre, rx, ry), tone)

    def _pixels(self, points: Points) -> list[float]:
        xy: list[float] = (points * self._turn + self._centre).view(np.float64).tolist()
        return xy


def _grey(tone: float) -> int:
    return min(max(int(tone), 0), 255)


def _oval(centre: complex, rx: float, ry: float) -> Points:
    return centre + rx * _CIRCLE.real + 1j * ry * _CIRCLE.imag


def _arc(start: complex, end: complex, sag: float) -> Points:
    """Return 12 points from `start` to `end` on a parabola that sags by `sag` (downwards if positive)."""
    return start + (end - start) * _UNIT + 4j * sag * _UNIT * (1 - _UNIT)


def _outline(person: Person, angle: NDArray[np.float64]) -> Points:
    """Return points on the edge of the head; `angle` in radians, clockwise from the right."""
    x, y = np.cos(angle), np.sin(angle)
    jaw = np.where(y > 0, person.jaw, 1.0)
    points: Points = person.width * np.sign(x) * np.abs(x) ** jaw + 1j * y
    return points


def _backdrop(pen: Pen, rng: np.random.Generator) -> None:
    tone = rng.uniform(70, 245)
    pen.oval(0, 9, 9, tone)
    for _ in range(4):
        place = rng.uniform(-1.6, 1.6) + 1j * rng.uniform(-1.6, 1.6)
        size = rng.uniform(0.4, 1.5)
        pen.oval(place, size, size, tone + rng.normal(0, 14))


def _body(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    cloth = rng.uniform(25, 235)
    neck, low = person.neck, 1.28
    pen.shape(_oval(2.25j, person.shoulders, 1.02), cloth)
    pen.fill(np.array([-neck + 0.5j, neck + 0.5j, neck + low * 1j, -neck + low * 1j]), person.skin * 0.78)
    pen.oval(low * 1j, neck, 0.6 * neck, person.skin * 0.78)
    pen.line(_arc(-neck + low * 1j, neck + low * 1j, 0.6 * neck), cloth * 0.8, 0.05)


def _ears(pen: Pen, person: Person) -> None:
    for side in (-1, 1):
        ear = side * (person.width + 0.03) + (person.eye_y + 0.16) * 1j
        pen.shape(_oval(ear, 0.63 * person.ear, person.ear), person.skin * 0.86)
        pen.oval(ear, 0.33 * person.ear, 0.6 * person.ear, person.skin * 0.72)
        if person.earrings:
            pen.oval(ear + (person.ear + 0.05) * 1j, 0.055, 0.055, 245)


def _head(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    """Draw the head as shells that get lighter towards the light, and the cheeks a little darker."""
    edge = _outline(person, np.linspace(0, 2 * np.pi, 72))
    light = rng.uniform(-0.10, 0.10) - 0.06j
    pen.shape(edge, person.skin)
    for shell in np.linspace(0, 1, 6):
        pen.fill(edge * (0.99 - 0.34 * shell) + light * shell, person.skin * (0.86 + 0.14 * shell))
    for side in (-1, 1):
        cheek = side * 0.55 * person.width + (person.nose_y + 0.03) * 1j
        pen.oval(cheek, 0.17, 0.13, person.skin * 0.965)
        pen.oval(cheek, 0.11, 0.08, person.skin * 0.94)


def _eye(pen: Pen, person: Person, side: int) -> None:
    width, height = person.eye, person.eye * person.openness
    centre = side * 0.44 * person.width + person.eye_y * 1j
    pen.oval(centre, width, height, min(250, person.skin + 70))
    iris = min(height, 0.6 * width)
    pen.oval(centre, iris, iris, person.iris)
    pen.oval(centre, 0.5 * iris, 0.5 * iris, 12)
    pen.oval(centre - (0.35 + 0.4j) * iris, 0.28 * iris, 0.28 * iris, 250)
    _eyelid(pen, person, centre, side)


def _eyelid(pen: Pen, person: Person, centre: complex, side: int) -> None:
    width, height = 1.08 * person.eye, person.eye * person.openness
    inner, outer = centre - side * width, centre + side * width + 0.02j
    droop = -height * (1 - 0.5 * person.lid)
    if person.lid > 0.1:  # skin that hangs over the eye
        fold = np.concatenate([_arc(inner, outer, -1.25 * height), _arc(inner, outer, droop)[::-1]])
        pen.fill(fold, person.skin * 0.9)
    pen.stroke(_arc(inner, outer, droop), 18, 0.05 + 0.35 * person.lashes)
    if person.lashes > 0.02:
        upper = _arc(inner, outer, droop)
        for k in (7, 9, 10, 11):
            tip = person.lashes * (side * (k - 4) / 5 - 1.3j)
            pen.line(np.array([upper[k], upper[k] + tip]), 18, 0.025)


def _brow(pen: Pen, person: Person, side: int) -> None:
    level = person.eye_y - person.eye * person.openness - person.brow_lift
    inner = side * (0.44 * person.width - 1.1 * person.eye) + level * 1j
    outer = side * (0.44 * person.width + 1.25 * person.eye) + (level + 0.02) * 1j
    tone = 0.8 * min(person.hair, 1.2 * person.skin)
    pen.stroke(_arc(inner, outer, -person.arch), tone, 1.6 * person.brow)


def _nose(pen: Pen, person: Person) -> None:
    tip = person.nose_y * 1j
    pen.stroke(_arc(tip - person.nose, tip + person.nose, 0.06), person.skin * 0.6, 0.04)
    pen.oval(tip - 0.03j, 0.45 * person.nose, 0.045, min(255, person.skin * 1.06))
    bridge = 0.5 * person.nose + (person.eye_y + 0.08) * 1j
    pen.stroke(_arc(bridge, person.nose + tip, 0), person.skin * 0.84, 0.03)


def _mouth(pen: Pen, person: Person) -> None:
    middle = person.mouth_y * 1j
    left, right = middle - person.mouth, middle + person.mouth
    seam = _arc(left, right, person.smile)
    tone = person.skin * person.lip_tone
    lower = _arc(left, right, person.smile + 1.3 * person.lips)
    bow = _arc(left, right, person.smile - 1.1 * person.lips)
    bow[5:7] += 0.2j * person.lips
    pen.fill(np.concatenate([bow, lower[::-1]]), tone)
    pen.stroke(seam, person.skin * 0.35, 0.04)


def _wrinkles(pen: Pen, person: Person) -> None:
    """Draw lines; the stronger the trait, the more and the deeper they are."""

    def crease(points: Points, strength: float) -> None:
        pen.stroke(points, person.skin * (0.86 - 0.36 * strength), 0.03 + 0.025 * strength)

    top = person.eye_y - person.eye - person.brow_lift - 0.12
    for k in range(round(4 * person.forehead)):
        reach = (0.55 - 0.06 * k) * person.width
        level = (top - 0.11 * k) * 1j
        crease(_arc(-reach + level, reach + level, -0.04), person.forehead)
    for side in (-1, 1):
        corner = side * (0.44 * person.width + 1.15 * person.eye) + person.eye_y * 1j
        for slope in np.linspace(-0.6, 0.6, round(4 * person.crow_feet)):
            ray = side + slope * 1j
            crease(_arc(corner + 0.05 * ray, corner + 0.20 * ray, 0.01), person.crow_feet)
        if person.hollows > 0.1:
            bone, chin = side * 0.93 * person.width + (person.eye_y + 0.3) * 1j, side * 0.5 * person.width + 0.75j
            pen.stroke(_arc(bone, chin, -0.04), person.skin * (0.92 - 0.16 * person.hollows), 0.15)
        if person.folds > 0.1:
            start = side * (person.nose + 0.05) + (person.nose_y - 0.02) * 1j
            crease(_arc(start, side * (person.mouth + 0.08) + (person.mouth_y + 0.06) * 1j, -0.03), person.folds)
        if person.bags > 0.15:
            bag = person.eye_y + person.eye * person.openness + 0.03
            centre = side * 0.44 * person.width
            crease(_arc(centre - person.eye + bag * 1j, centre + person.eye + bag * 1j, 0.07), person.bags)


def _beard(pen: Pen, person: Person) -> None:
    tone, mouth = person.beard_tone, person.mouth_y
    if person.beard in ("full", "stubble"):
        jaw = _outline(person, np.linspace(0.08, np.pi - 0.08, 30))
        upper = np.concatenate(
            [
                _arc(-person.width + 0.1j, (mouth - 0.13) * 1j, 0.22),
                _arc((mouth - 0.13) * 1j, person.width + 0.1j, 0.22),
            ]
        )
        if person.beard == "stubble":
            pen.fill(np.concatenate([jaw * 0.99, upper]), 0.75 * person.skin + 0.2 * min(tone, person.skin))
        else:
            pen.shape(np.concatenate([jaw.real * 1.04 + 1.10j * jaw.imag, upper]), tone)
    if person.beard == "goatee":
        pen.shape(_oval((mouth + 0.20) * 1j, 0.8 * person.mouth, 0.22), tone)
    if person.beard in ("moustache", "goatee", "full"):
        for side in (-1, 1):
            start = side * 0.01 + (mouth - 0.12) * 1j
            pen.stroke(_arc(start, side * (person.mouth + 0.1) + (mouth + 0.02) * 1j, -0.05), tone, 0.17)


def _hair_behind(pen: Pen, person: Person) -> None:
    """Draw what is partly behind the head: long hair, a bun, pigtails, the ring of hair around a bald head."""
    tone, width = person.hair * 0.85, person.width * (1 + person.volume)
    crown = _outline(person, np.linspace(np.pi, 2 * np.pi, 24)) * (1 + person.volume)
    if person.style in ("long", "bob"):
        down = np.linspace(0, person.length, 12)
        sway = 0.12 * np.sin(np.pi * down / person.length / 1.4) + person.wave * np.sin(9 * down)
        right = width + sway + 1j * down
        pen.shape(np.concatenate([crown, right, (-right.conj())[::-1]]), tone)
        sheen = tone + (40 if tone < 140 else -40)
        for part in np.linspace(0.62, 0.96, 7):
            for side in (-1, 1):
                pen.line(side * part * right.real + 1j * right.imag, sheen, 0.02)
    elif person.style == "bun":
        pen.shape(_oval(-1.22j, 0.34, 0.28), tone)
    elif person.style == "pigtails":
        for side in (-1, 1):
            pen.shape(_oval(side * (width + 0.12) + 0.12j, 0.2, 0.34), tone)
    elif person.style == "bald":
        pen.shape(_oval(-0.02j, person.width + 0.08, 0.42), tone)


def _hair_in_front(pen: Pen, person: Person, rng: np.random.Generator) -> None:
    if person.style == "bald":
        return
    if person.style == "tuft":
        for lean in rng.uniform(-0.35, 0.35, 7):
            pen.stroke(_arc(lean * 0.3 - 1j, lean - 0.72j, -0.15), person.hair, 0.07)
        return
    outer, inner = _cap(person)
    pen.shape(np.concatenate([outer, inner]), person.hair)
    if person.style == "curly":
        sizes = rng.uniform(0.13, 0.20, 12)
        for wider, tone in ((0.025, 0.62), (0.0, 1.0)):  # all contours first: curls cover those between them
            for curl, size in zip(outer[::2], sizes + wider, strict=True):
                pen.oval(curl, size, size, tone * person.hair)
    for k in range(1, len(inner) - 1, 2):
        ends = 0.97 * outer[-1 - k], inner[k]
        pen.line(np.array(ends), person.hair * rng.normal(1.05, 0.08), 0.012)


def _cap(person: Person) -> tuple[Points, Points]:
    """Return the outer edge of the hair on the skull, left to right, and the hairline, right to left."""
    falls = person.style in ("long", "bob")
    ends = 0.45 if falls else 0.05
    reach = np.arcsin(ends)
    outer = _outline(person, np.linspace(np.pi - reach, 2 * np.pi + reach, 24)) * (1 + person.volume)
    u = np.linspace(1, -1, 24)
    level = ends + (person.hairline - ends) * (1 - np.abs(u) ** (8 if falls else 6))
    level += person.parting * u * (1 - u**2)
    level -= person.recession * (0.35 + np.exp(-(((np.abs(u) - 0.6) / 0.2) ** 2)))
    x = 0.95 * person.width * u
    level = np.maximum(level, -0.97 * np.sqrt(1 - (x / person.width) ** 2))
    return outer, x + 1j * level


def _glasses(pen: Pen, person: Person) -> None:
    size = 1.45 * person.eye
    for side in (-1, 1):
        centre = side * 0.46 * person.width + (person.eye_y + 0.02) * 1j
        ring = _oval(centre, size, 0.85 * size)
        pen.line(np.append(ring, ring[:1]), 30, 0.03)
        temple = side * person.width + (person.eye_y - 0.02) * 1j
        pen.line(np.array([centre + side * size, temple]), 30, 0.03)
    gap = 0.46 * person.width - size
    pen.line(_arc(-gap + person.eye_y * 1j, gap + person.eye_y * 1j, -0.03), 30, 0.03)


def _photograph(canvas: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Scale down to 128x128 pixels, then add uneven light, a little blur and noise."""
    small = canvas.reduce(ZOOM).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.7)))
    ramp = np.linspace(-0.5, 0.5, IMAGE_SIZE)
    light = rng.uniform(0.93, 1.07) + rng.normal(0, 0.08) * ramp[:, None] + rng.normal(0, 0.08) * ramp
    noise = rng.normal(0, rng.uniform(1, 3), (IMAGE_SIZE, IMAGE_SIZE))
    return np.clip(np.asarray(small) * light + noise, 0, 255).astype(np.uint8)
