"""predict.py: an arm applied to a user's files gives what evaluation would, and every file is accounted for."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densedistill.backbones import NetworkError
from densedistill.datasets.pixels import read_rgb
from densedistill.distill import load_student
from densedistill.distill.errors import RequestError, RunFailedError
from densedistill.distill.prediction.application import Outcome
from densedistill.tools import predict, predict_network
from densedistill.tools.finished import open_arm
from densedistill.tools.predict_actions import Reading
from densedistill.tools.predict_inputs import Input, find_inputs, refuse_shared_pictures
from densedistill.tools.predict_network import Applied
from densedistill.tools.predict_outputs import Answers, endings, side_by_side

Capture = pytest.CaptureFixture[str]


def picture(path: Path, height: int, width: int, seed: int = 0) -> np.ndarray:
    """A PNG of random levels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def applied(run: Path, inputs: Path, output: Path, *words: str) -> int:
    return predict.main(["--run", str(run), "--input", str(inputs), "--output", str(output), "--device", "cpu", *words])


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def network_s_answer(run: Path, arm: str, pixels: np.ndarray) -> torch.Tensor:
    """By hand: normalised, and through the network."""
    record = json.loads((run / arm / "arm.json").read_text())
    mean, std = (torch.tensor(record[key]).view(-1, 1, 1) for key in ("input_mean", "input_std"))
    planes = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    with torch.inference_mode():
        answer: torch.Tensor = load_student(run, arm)(((planes - mean) / std)[None])[0]
    return answer


# -- what is written ----------------------------------------------------------------------------------------------


def test_images_are_enlarged_and_folders_kept(sr_run: Path, tmp_path: Path) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    pixels = {
        name: picture(inputs / name, *size) for name, size in {"a.png": (20, 31), "deep/er/b.png": (24, 24)}.items()
    }
    assert applied(sr_run, inputs, output) == 0
    assert sorted(path.relative_to(output).as_posix() for path in output.rglob("*.*")) == ["a.png", "deep/er/b.png"]
    for name, levels in pixels.items():
        wanted = (network_s_answer(sr_run, "gen_02", levels).clamp(0, 1) * 255).round()
        written = read_rgb(output / name).transpose(2, 0, 1)
        assert np.abs(written - wanted.numpy()).max() <= 1
        assert (written == wanted.numpy()).mean() > 0.999


def test_classes_are_ranked_in_a_table(cls_run: Path, tmp_path: Path) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    pixels = picture(inputs / "a.png", 16, 16)
    for place in range(4):
        picture(inputs / f"other{place}.png", 16, 16, seed=1 + place)
    assert applied(cls_run, inputs, output, "--arm", "gen_01", "--batch-size", "2") == 0
    assert [path.name for path in output.iterdir()] == ["predictions.csv"]
    found = rows(output)
    assert [row["image"] for row in found] == ["a.png", *(f"other{place}.png" for place in range(4))]
    scores = torch.softmax(network_s_answer(cls_run, "gen_01", pixels), dim=0)
    classes = json.loads((cls_run / "gen_01" / "arm.json").read_text())["classes"]
    for rank, place in enumerate(scores.argsort(descending=True)[:5].tolist(), start=1):
        assert found[0][f"label_{rank}"] == classes[place]
        assert float(found[0][f"score_{rank}"]) == pytest.approx(float(scores[place]), abs=2e-6)


def test_a_name_that_is_no_utf8_loses_no_row(tmp_path: Path) -> None:
    answers = Answers(tmp_path, ["gen_02"])
    for name in ("a.png", os.fsdecode(b"caf\xe9.png")):
        answers.write(Input(path=tmp_path / name, name=name), torch.zeros(3, 2, 2), [Outcome(row={"label_1": "cat"})])
    answers.close()
    assert (tmp_path / "predictions.csv").read_bytes() == b"image,label_1\na.png,cat\ncaf\xe9.png,cat\n"


def test_maps_of_any_size_keep_it(edges_run: Path, tmp_path: Path) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    pixels = picture(inputs / "aligned.png", 64, 96)
    picture(inputs / "odd.png", 37, 70)
    assert applied(edges_run, inputs, output, "--arm", "gen_01") == 0
    wanted = (torch.sigmoid(network_s_answer(edges_run, "gen_01", pixels))[0] * 255).round().numpy()
    with Image.open(output / "aligned.png") as map_, Image.open(output / "odd.png") as odd:
        assert (map_.mode, odd.size) == ("L", (70, 37))
        assert np.abs(np.array(map_) - wanted).max() <= 1


def test_the_teacher_stands_beside_its_student(sr_run: Path, tmp_path: Path) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    picture(inputs / "a.png", 20, 24)
    assert applied(sr_run, inputs, output, "--with-teacher") == 0
    assert applied(sr_run, inputs, tmp_path / "teacher", "--arm", "gen_01") == 0
    names = ["a.png", "a_compared.png", "a_teacher.png"]
    assert sorted(path.name for path in output.iterdir()) == names
    assert (output / "a_teacher.png").read_bytes() == (tmp_path / "teacher" / "a.png").read_bytes()
    compared = read_rgb(output / "a_compared.png")
    assert compared.shape == (80, 3 * 96 + 2 * 8, 3)
    np.testing.assert_array_equal(compared[:, 96 + 8 : 96 + 8 + 96], read_rgb(output / "a.png"))
    np.testing.assert_array_equal(compared[:, -96:], read_rgb(output / "a_teacher.png"))
    np.testing.assert_array_equal(compared[::4, :96:4], read_rgb(inputs / "a.png"))


def test_test_time_augmentation_is_a_mean_over_views(edges_run: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "in"
    pixels = picture(inputs / "a.png", 64, 64)
    assert applied(edges_run, inputs, tmp_path / "out", "--arm", "gen_01", "--tta", "flip") == 0
    plain, mirrored = (
        torch.sigmoid(network_s_answer(edges_run, "gen_01", np.ascontiguousarray(view)))[0]
        for view in (pixels, pixels[:, ::-1])
    )
    wanted = (plain + mirrored.flip(-1)) / 2 * 255
    with Image.open(tmp_path / "out" / "a.png") as written:
        assert np.abs(np.array(written) - wanted.numpy()).max() <= 0.6


def test_tiles_change_nothing_that_shows(sr_run: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "in"
    picture(inputs / "a.png", 110, 170)
    assert applied(sr_run, inputs, tmp_path / "whole") == 0
    assert applied(sr_run, inputs, tmp_path / "tiles", "--tile", "100") == 0
    whole, tiles = (read_rgb(tmp_path / kind / "a.png").astype(int) for kind in ("whole", "tiles"))
    assert np.abs(whole - tiles).max() <= 1


# -- what is read -------------------------------------------------------------------------------------------------


def test_an_input_that_is_no_image_is_named_and_the_others_done(sr_run: Path, tmp_path: Path, capsys: Capture) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "z.png"):
        picture(inputs / name, 20, 20)
    (inputs / "m.png").write_text("no image")
    (inputs / "notes.txt").write_text("nor this")
    (inputs / ".hidden.png").write_text("passed over")
    assert applied(sr_run, inputs, output) == 3
    said = capsys.readouterr().err
    assert "2 of 3 images done" in said
    assert "m.png" in said.splitlines()[-1]
    assert "notes.txt" in said
    assert "hidden" not in said
    assert sorted(path.name for path in output.iterdir()) == ["a.png", "z.png"]


def test_an_image_too_small_for_the_network_is_named_and_the_others_done(
    cls_run: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here one that is all black, so that it shares its batch with others."""
    inputs, output = tmp_path / "in", tmp_path / "out"
    for place, name in enumerate("abz"):
        picture(inputs / f"{name}.png", 16, 16, seed=place)
    Image.new("RGB", (16, 16)).save(inputs / "m.png")

    original = Applied.predict

    def predict_large(self: Applied, images: list[torch.Tensor]) -> torch.Tensor:
        if not all(image.any() for image in images):
            raise NetworkError("an image of 16x16 pixels is too small: give 32x32.")
        return original(self, images)

    monkeypatch.setattr(Applied, "predict", predict_large)
    assert applied(cls_run, inputs, output, "--arm", "gen_01") == 3
    said = capsys.readouterr().err
    assert "3 of 4 images done" in said
    assert "m.png: an image of 16x16 pixels is too small: give 32x32." in said.splitlines()[-1]
    assert [row["image"] for row in rows(output)] == ["a.png", "b.png", "z.png"]


def test_the_table_is_kept_where_the_command_fails_midway(
    cls_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    for place in range(3):
        picture(inputs / f"{place}.png", 16, 16, seed=place)
    original = Applied.predict

    def predict_two(self: Applied, images: list[torch.Tensor]) -> torch.Tensor:
        if (output / "begun").exists():
            raise RunFailedError("the disk is full")
        output.mkdir(exist_ok=True)
        (output / "begun").touch()
        return original(self, images)

    monkeypatch.setattr(Applied, "predict", predict_two)
    assert applied(cls_run, inputs, output, "--arm", "gen_01", "--batch-size", "2") == 3
    assert [row["image"] for row in rows(output)] == ["0.png", "1.png"]


def test_whole_pixels_are_kept_for_a_teacher_alone(cls_run: Path, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 300, 200)
    network = predict_network.applied(open_arm(cls_run, "gen_01"), torch.device("cpu"), tile="auto", views=None)
    files = find_inputs([str(tmp_path)], tmp_path / "out").files
    for networks, kept in (([network], False), ([network, network], True)):
        ((shown,),) = Reading(networks, 4).batches(files)
        assert (shown.pixels is not None) == kept
        assert shown.image.shape == (3, 16, 16)


def test_a_named_file_is_tried_whatever_it_is_called(sr_run: Path, tmp_path: Path, capsys: Capture) -> None:
    picture(tmp_path / "in" / "a.png", 20, 20).tofile(tmp_path / "in" / "raw.bin")
    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / "photo.data")
    words = [str(tmp_path / "in" / name) for name in ("photo.data", "raw.bin")]
    assert predict.main(["--run", str(sr_run), "--input", *words, "--output", str(tmp_path / "out")]) == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.png"]
    assert "raw.bin" in capsys.readouterr().err.splitlines()[-1]


def test_files_are_turned_upright_and_that_is_said(sr_run: Path, tmp_path: Path, capsys: Capture) -> None:
    pixels = picture(tmp_path / "in" / "plain.png", 20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "in" / "turned.png", exif=exif)
    assert applied(sr_run, tmp_path / "in", tmp_path / "out") == 0
    assert "turned upright, as EXIF says: turned.png" in capsys.readouterr().err
    np.testing.assert_array_equal(read_rgb(tmp_path / "out" / "turned.png"), read_rgb(tmp_path / "out" / "plain.png"))


def test_gray_deep_and_clear_images_are_read_by_one_rule(sr_run: Path, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(grey).save(tmp_path / "in" / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 256 + 7).save(tmp_path / "in" / "deep.png")
    Image.fromarray(np.stack([grey, np.full_like(grey, 255)], axis=-1), "LA").save(tmp_path / "in" / "alpha.png")
    Image.fromarray(np.repeat(grey[..., None], 3, axis=2)).save(tmp_path / "in" / "colour.png")
    assert applied(sr_run, tmp_path / "in", tmp_path / "out") == 0
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(found) == 4
    assert len(set(found.values())) == 1


def test_a_second_time_answers_are_no_inputs(sr_run: Path, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 20, 20)
    for _ in range(2):
        assert applied(sr_run, tmp_path, tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["a.png"]


# -- wrong requests -----------------------------------------------------------------------------------------------


def refusal(run: Path, inputs: Path, output: Path, capsys: Capture, *words: str) -> str:
    capsys.readouterr()
    assert applied(run, inputs, output, *words) == 2
    assert not list(output.glob("*.csv"))
    return capsys.readouterr().err.splitlines()[-1]


def test_wrong_requests_are_one_sentence(sr_run: Path, edges_run: Path, tmp_path: Path, capsys: Capture) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    picture(inputs / "a.png", 20, 20)
    assert "does not exist" in refusal(sr_run, tmp_path / "absent", output, capsys)
    assert "could overwrite" in refusal(sr_run, inputs, inputs, capsys)
    assert "is a file" in refusal(sr_run, inputs, inputs / "a.png", capsys)
    assert "give 96 or more" in refusal(sr_run, inputs, output, capsys, "--tile", "50")
    assert "tile 'big' is no size" in refusal(sr_run, inputs, output, capsys, "--tile", "big")
    assert "batch size 0" in refusal(sr_run, inputs, output, capsys, "--batch-size", "0")
    assert "gen_01 has no teacher" in refusal(sr_run, inputs, output, capsys, "--arm", "gen_01", "--with-teacher")
    assert "kind of views" in refusal(edges_run, inputs, output, capsys, "--arm", "gen_01", "--tta", "flop")
    (tmp_path / "empty").mkdir()
    assert "no images in" in refusal(sr_run, tmp_path / "empty", output, capsys)
    Image.new("RGB", (20, 20)).save(inputs / "a.jpg")
    assert "would both be written as 'a'" in refusal(sr_run, inputs, output, capsys)


def test_an_input_called_as_another_s_picture_is_refused(sr_run: Path, tmp_path: Path, capsys: Capture) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    picture(inputs / "a.png", 20, 20)
    picture(inputs / "a_teacher.png", 20, 20)
    message = refusal(sr_run, inputs, output, capsys, "--with-teacher")
    assert "a.png' and '" in message
    assert "would both be written as 'a_teacher'" in message
    assert not output.exists()
    assert applied(sr_run, inputs, output) == 0
    assert len(list(output.iterdir())) == 2


@pytest.mark.parametrize(
    ("classes", "teacher", "taken"),
    [
        (False, False, []),
        (True, False, ["_overlay"]),
        (False, True, ["_teacher", "_compared"]),
        (True, True, ["_overlay", "_teacher", "_overlay_teacher", "_compared"]),
    ],
)
def test_names_are_taken_by_the_pictures_that_are_written(
    tmp_path: Path, classes: bool, teacher: bool, taken: list[str]
) -> None:
    for ending in ("_overlay", "_teacher", "_overlay_teacher", "_compared", "_other"):
        files = [Input(path=tmp_path / f"{name}.png", name=f"in/{name}.png") for name in (f"a{ending}", "a")]
        refused = pytest.raises(RequestError, match=f"written as 'in/a{ending}'")
        with refused if ending in taken else contextlib.nullcontext():
            refuse_shared_pictures(files, endings(classes=classes, teacher=teacher), tmp_path)


def test_an_input_elsewhere_is_not_overwritten_either(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        picture(tmp_path / folder / f"{folder}.png", 8, 8)
    (tmp_path / "link").symlink_to(tmp_path / "one")
    with pytest.raises(RequestError, match=r"one\.png' lies, which an answer could overwrite"):
        find_inputs([str(tmp_path / "one"), str(tmp_path / "two")], tmp_path / "link")
    assert len(find_inputs([str(tmp_path / "one"), str(tmp_path / "two")], tmp_path / "out").files) == 2


def test_pictures_side_by_side_are_padded_with_white() -> None:
    small, large = np.zeros((2, 3), np.uint8), np.full((5, 4, 3), 9, np.uint8)
    joined = side_by_side([small, large])
    assert joined.shape == (5, 6 + 8 + 4, 3)
    assert not joined[:4, :6].any()
    assert (joined[4, :6] == 255).all()
    assert (joined[:, 6:14] == 255).all()
    assert (joined[:, 14:] == 9).all()
