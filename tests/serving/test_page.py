"""The page in headless Chromium, with the development server: it shows what Python draws."""

import json
import re
import time
import urllib.parse

import keras
import numpy as np
import pytest
from cases import CASES

from kgen import serving
from kgen.serving import local
from tests.serving import browser
from tests.serving import proxy as proxies

NAMES = ("vae", "conditional_gan", "gated_pixelcnn", "simclr")
SEED = 5
# A canvas holds 8 bits a channel: half a level, and the rounding of kernels at another batch size.
CLOSE = dict(atol=0.5 / 255 + 1e-4)

# The pixels of the canvases that a selector finds: [picture][height][width][4].
PIXELS = """
return [...document.querySelectorAll(arguments[0])].map((canvas) => {
  const { width, height } = canvas;
  const pixels = [...canvas.getContext("2d").getImageData(0, 0, width, height).data];
  const rows = Array.from({ length: height }, (_, i) => pixels.slice(4*i*width, 4*(i+1)*width));
  return rows.map((row) => Array.from({ length: width }, (_, j) => row.slice(4*j, 4*j+4)));
});
"""
SET = """
const input = document.querySelector(arguments[0]);
input.value = arguments[1];
input.dispatchEvent(new Event("input"));
"""
IS_VISIBLE = "return document.querySelector(arguments[0]).checkVisibility()"
TEXT = "return document.querySelector(arguments[0]).textContent"
COUNT = "return document.querySelectorAll(arguments[0]).length === arguments[1]"


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(0)
    models = {case.name: case.build() for case in CASES if case.name in NAMES}
    # An untrained generator's pictures all lie within one of a canvas' 256 levels of grey.
    for weight in models["conditional_gan"].weights:
        if re.search("average.*kernel", weight.path):
            weight.assign(50 * weight)
    return models


@pytest.fixture(scope="module")
def folder(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, model in models.items():
        serving.export(model, folder / name, check=False, warmup_batch_sizes=[8])
    return folder


# The browser comes first: without one nothing is exported.
@pytest.fixture(scope="module")
def window():
    with browser.browser() as window:
        yield window


@pytest.fixture(scope="module")
def address(window, folder):
    with local.serving(folder) as server:
        yield server.rest_address


@pytest.fixture
def page(window, address):
    """Opens a model; the console must have stayed empty at the end."""

    def open_model(name, **query):
        window.open(f"{address}/?{urllib.parse.urlencode(dict(query, model=name))}")
        window.wait(IS_VISIBLE, "#about")
        window.run(SET, "#seed", SEED)
        return window

    yield open_model
    assert window.errors() == []


def pictures(window, selector):
    """Grey pictures in [0, 1]: (pictures, height, width, 1)."""
    return np.array(window.run(PIXELS, selector))[..., :1] / 255


def draw(window, button, tiles, count):
    window.click(button)
    window.wait(COUNT, f"{tiles} canvas", count)
    return pictures(window, f"{tiles} canvas")


def test_the_models_are_listed_and_described(page, models):
    window = page("vae")
    names = window.run(
        "return [...document.querySelectorAll('nav button')].map(b => b.textContent)"
    )
    assert names == sorted(models)
    assert "draws pictures" in window.run(TEXT, "#kind")
    assert "latents: float32[?, 2]" in window.run(TEXT, "#signatures")
    sections = {
        "vae": ["sampling", "latents", "interpolation"],
        "conditional_gan": ["sampling", "latents", "interpolation"],
        "gated_pixelcnn": ["sampling", "completion"],
        "simclr": [],
    }
    for i, name in enumerate(sorted(models)):
        window.click(f"nav button:nth-child({i + 1})")
        window.wait(
            "return document.getElementById('name').textContent.startsWith(arguments[0])", name
        )
        shown = window.run(
            "return [...document.querySelectorAll('main section')]"
            ".filter((s) => !s.hidden).map((s) => s.id)"
        )
        assert shown == ["about", *sections[name]], name
        assert window.run(IS_VISIBLE, "#labels") == (name in ("conditional_gan", "gated_pixelcnn"))
        text = window.run(TEXT, "#kind")
        assert ("embeddings" in text and "Client" in text) == (name == "simclr")


def test_sampling_is_that_of_python(page, models):
    window = page("vae")
    window.run(SET, "#count", 3)
    shown = draw(window, "#sample", "#samples", 3)
    np.testing.assert_allclose(shown, models["vae"].sample(3, seed=SEED), **CLOSE)
    window = page("conditional_gan")
    window.run(SET, "#count", 5)
    window.run(SET, "#labels", "1, 0")
    expected = models["conditional_gan"].sample(5, seed=SEED, condition=np.array([1, 0, 1, 0, 1]))
    np.testing.assert_allclose(draw(window, "#sample", "#samples", 5), expected, **CLOSE)


def test_sliders_move_the_latents(page, models):
    window = page("vae")
    for latents in ([1.5, 0.0], [1.5, -3.0]):
        for i, value in enumerate(latents):
            window.run(SET, f"#sliders label:nth-child({i + 1}) input", value)
        expected = models["vae"].decode(np.array([latents], np.float32))
        (shown,) = until(lambda: pictures(window, "#decoded"), expected)
        np.testing.assert_allclose(shown[None], expected, **CLOSE)
    assert window.run(TEXT, "#sliders output") == "1.50"


def test_a_path_leads_from_one_sample_to_another(page, models):
    window, model = page("vae"), models["vae"]
    window.run(SET, "#count", 4)
    draw(window, "#sample", "#samples", 4)
    for number in (2, 4):
        window.click(f"#samples button:nth-child({number})")
    shown = draw(window, "#interpolate", "#path", 8)
    samples = model.sample(4, seed=SEED)
    start, end = model.encode(samples[1:2]), model.encode(samples[3:4])
    expected = model.interpolate(start, end=end, num_steps=8)[0]
    np.testing.assert_allclose(shown, expected, **CLOSE)
    # The sliders show the latents of the picture that was picked last.
    first = float(window.run(TEXT, "#sliders output"))
    assert first == pytest.approx(float(model.encode(samples[3:4])[0, 0]), abs=0.006)

    window = page("conditional_gan")
    shown = draw(window, "#interpolate", "#path", 8)
    assert np.abs(shown[0] - shown[-1]).max() > 0.05


def test_completion_keeps_what_is_known(page, models):
    window, model = page("gated_pixelcnn"), models["gated_pixelcnn"]
    window.run(SET, "#count", 2)
    window.run(SET, "#labels", "0, 1")
    draw(window, "#sample", "#samples", 2)
    window.click("#samples button:nth-child(2)")
    window.click("#lower-half")
    shown = draw(window, "#complete", "#completions", 8)
    labels = np.array([0, 1])
    image = model.sample(2, seed=SEED, condition=labels)[1:].numpy()
    height = image.shape[1]
    mask = np.broadcast_to(np.arange(height)[:, None] < height / 2, image.shape[1:3])
    # The picture was drawn as a 1, and is completed as one.
    expected = model.complete(
        np.repeat(image, 8, axis=0), mask=mask, condition=np.full(8, 1), seed=SEED
    )
    np.testing.assert_allclose(shown, expected, **CLOSE)
    assert len({picture.tobytes() for picture in shown}) > 1

    def erased():
        (canvas,) = np.array(window.run(PIXELS, "#erasing"))
        return np.any(canvas[..., :1] != canvas[..., :3], axis=-1)

    np.testing.assert_array_equal(erased(), ~mask)
    window.click("#restore")
    assert not erased().any()
    window.drag("#erasing", [(-60, -60), (0, 0), (40, 40)])
    assert 0 < erased().mean() < 1


def test_errors_are_words(page, window, address):
    page("vae")
    messages = {}
    for name in ("nobody", "conditional_gan"):
        window.run(SET, "#model", name)
        window.click("#connection [type=submit]")
        if name == "nobody":
            window.wait(IS_VISIBLE, "#message")
            messages[name] = window.run(TEXT, "#message")
    assert messages["nobody"].startswith("The server has no such model. ")
    window.wait(IS_VISIBLE, "#sampling")
    assert not window.run(IS_VISIBLE, "#message")
    for field, value, good, words in (
        ("#labels", "99", "0", "The server refused (400)"),
        ("#labels", "one", "0", "Labels: "),
        ("#count", "77", "1", "Pictures: "),
        ("#seed", "3000000000", "0", "Seed: "),
    ):
        window.run(SET, field, value)
        # As the form's own check would not let it through.
        window.run("document.querySelector('#sampling form').noValidate = true")
        window.click("#sample")
        window.wait(
            "return document.querySelector('#message').textContent.startsWith(arguments[0])", words
        )
        window.run(SET, field, good)
    window.errors()  # A browser tells its console of each 4xx.


def test_a_server_elsewhere_must_allow_the_page(page, window, address, folder, models):
    with local.serving(folder, flags=["--rest_api_enable_cors_support"]) as other:
        page("vae", server=other.rest_address)
        window.run(SET, "#count", 1)
        shown = draw(window, "#sample", "#samples", 1)
        np.testing.assert_allclose(shown, models["vae"].sample(1, seed=SEED), **CLOSE)
        # The first server has no such flag.
        window.open(f"{other.rest_address}/?model=vae&server={address}")
        window.wait(IS_VISIBLE, "#message")
        assert "--rest_api_enable_cors_support" in window.run(TEXT, "#message")
        window.errors()


def test_behind_the_proxy_the_page_asks_for_the_token(window, folder, models, tmp_path):
    proxies.find_nginx()
    with local.serving(folder) as server:
        addresses = dict(grpc_address=server.grpc_address, rest_address=server.rest_address)
        with proxies.proxy(tmp_path, **addresses) as port:
            window.open(f"https://localhost:{port}/?model=vae")
            window.wait(IS_VISIBLE, "#message")
            assert "token" in window.run(TEXT, "#message")
            assert window.run(IS_VISIBLE, "#token")
            window.errors()
            window.run(SET, "#token", proxies.TOKEN)
            window.click("#connection [type=submit]")
            window.wait(IS_VISIBLE, "#about")
            window.run(SET, "#seed", SEED)
            window.run(SET, "#count", 2)
            shown = draw(window, "#sample", "#samples", 2)
            np.testing.assert_allclose(shown, models["vae"].sample(2, seed=SEED), **CLOSE)
            # The proxy's Content-Security-Policy stops nothing that the page needs.
            assert window.errors() == []


def test_it_fits_a_phone_and_loads_nothing_from_elsewhere(page, window, address):
    window.resize(360, 740)
    try:
        page("vae")
        draw(window, "#sample", "#samples", 16)
        for element in ("main", "#samples", "#sliders"):
            left, right = window.run(
                "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
                "return [b.left, b.right]",
                element,
            )
            assert 0 <= left < right <= 360, element
        assert window.run("return document.documentElement.scrollWidth <= 360")
    finally:
        window.resize(1000, 1400)
    loaded = window.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert loaded and all(name.startswith(address) for name in loaded), json.dumps(loaded)


def until(read, expected, seconds=20):
    """What `read` gives, once that is close to what is expected or time is up."""
    deadline = time.monotonic() + seconds
    while True:
        value = read()
        if time.monotonic() > deadline or (
            value.shape == expected.shape and np.allclose(value, expected, **CLOSE)
        ):
            return value
        time.sleep(0.05)
