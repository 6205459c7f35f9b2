"""Which class a folder of images is, and how the middle of an image is cut: as torchvision does, to the pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.planning import labelled_files
from edge.planning.labelled_files import CLASSES, find, fingerprint, indices
from export.data import images
from profiles.errors import ConfigError
from profiles.schema import ImageInput
from tests import labelled


def folders(root: Path, names: Sequence[str], lines: Sequence[str] | None = None) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "a.jpg").write_bytes(name.encode())
    if lines is not None:
        (root / CLASSES).write_text("\n".join(lines))
    return root


class TestTheClassOfAFolder:
    def test_is_its_number(self, tmp_path: Path) -> None:
        found, how = indices(find(folders(tmp_path, ["2", "10", "007"])), 11)
        assert found == {"2": 2, "10": 10, "007": 7}
        assert how == "by the folders' names, which are class indices"

    def test_is_the_line_of_classes_txt_before_anything_else(self, tmp_path: Path) -> None:
        found, how = indices(find(folders(tmp_path, ["1", "cat"], ["dog", "cat", "", "1"])), 5, ("cat", "1"))
        assert found == {"cat": 1, "1": 2}
        assert "classes.txt" in how

    def test_is_the_model_s_own_label(self, tmp_path: Path) -> None:
        found, how = indices(find(folders(tmp_path, ["cat", "ant"])), 3, ("ant", "bee", "cat"))
        assert found == {"ant": 0, "cat": 2}
        assert "own labels" in how

    def test_is_its_place_where_there_is_one_for_every_class(self, tmp_path: Path) -> None:
        torchvision = pytest.importorskip("torchvision", reason="pip install 'edgebench[pytorch]'")
        root = folders(tmp_path, ["n02", "n01", "n10"])
        found, how = indices(find(root), 3)
        assert found == torchvision.datasets.ImageFolder(str(root)).class_to_idx
        assert "order" in how

    @pytest.mark.parametrize(
        ("names", "lines", "classes", "message"),
        [
            (["a", "b"], None, 1000, "its 2 folders do not say which of the model's 1000 classes they are"),
            (["a", "b", "c"], None, 2, "it holds 3 folders, and the model tells 2 classes apart"),
            (["0", "7", "8", "9", "10"], None, 7, "the folder '10', '7', '8' and 1 more is no class"),
            (["a"], ["b"], 2, "the folder 'a' is not in classes.txt"),
            (["a"], ["a", "b", "a"], 3, "classes.txt names 'a' twice"),
            (["a"], ["a", "b"], 1, "classes.txt has 2 lines, and the model tells 1 classes apart"),
        ],
    )
    def test_is_refused_where_nobody_can_know(
        self, tmp_path: Path, names: list[str], lines: list[str] | None, classes: int, message: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            indices(find(folders(tmp_path, names, lines)), classes)
        assert caught.value.message.startswith(message)
        assert caught.value.where == f"--dataset {tmp_path}"


class TestTheFolder:
    def test_holds_images_at_any_depth_and_other_things_beside(self, tmp_path: Path) -> None:
        root = folders(tmp_path, ["0"])
        (root / "0" / "deep").mkdir()
        (root / "0" / "deep" / "b.PNG").write_bytes(b"b")
        for other in ("notes.txt", ".hidden.png"):
            (root / "0" / other).write_bytes(b"x")
        (root / "README").write_text("x")
        (root / ".git").mkdir()
        assert [file.name for file in find(root).classes["0"]] == ["a.jpg", "b.PNG"]
        assert find(root).count == 2

    def test_is_another_when_an_image_or_its_class_is(self, tmp_path: Path) -> None:
        root = folders(tmp_path, ["0", "1"])
        before = fingerprint(root)
        (root / "0" / "notes.txt").write_text("nobody reads this")
        assert fingerprint(root) == before
        (root / "0" / "a.jpg").rename(root / "1" / "b.jpg")
        (root / "1" / "a.jpg").rename(root / "0" / "a.jpg")
        moved = fingerprint(root)
        (root / CLASSES).write_text("1\n0")
        assert len({before, moved, fingerprint(root)}) == 3

    def test_that_is_none_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "flat").mkdir()
        (tmp_path / "flat" / "a.png").write_bytes(b"a")
        (tmp_path / "bare" / "cat").mkdir(parents=True)
        (tmp_path / "wrong" / "0").mkdir(parents=True)
        (tmp_path / "wrong" / "0" / "a.png").write_bytes(b"a")
        (tmp_path / "wrong" / CLASSES).write_bytes(b"\xff\xfe\xfa")
        told = {
            "nowhere": "there is no such folder",
            "flat": "it holds no folders",
            "bare": "'cat' holds no .jpg, .jpeg",
        }
        for name, message in {**told, "wrong": "classes.txt is no UTF-8 text"}.items():
            with pytest.raises(ConfigError, match=message):
                labelled_files.find(tmp_path / name)


@pytest.mark.parametrize("side", [32, 224, 299])
def test_an_image_is_cut_as_torchvision_s_preset_does(tmp_path: Path, side: int) -> None:
    image = ImageInput(shape=(3, side, side))
    files = labelled.pictures(tmp_path / "pictures")
    cut = np.stack([images.centre(file, image) for file in files])
    np.testing.assert_allclose(images.normalise(cut, image), labelled.preset(files, image), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("have", "want", "size"),
    [((400, 300), (224, 224), (341, 256)), ((300, 400), (224, 224), (256, 341)), ((1000, 10), (64, 32), (3700, 37)),
     ((10, 10), (448, 224), (512, 512)), ((256, 256), (224, 224), (256, 256))],
)  # fmt: skip
def test_both_sides_are_large_enough_and_one_is_exact(
    have: tuple[int, int], want: tuple[int, int], size: tuple[int, int]
) -> None:
    assert images.enlarged(have, want) == size
