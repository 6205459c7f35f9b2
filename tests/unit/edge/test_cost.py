"""What inferences cost: arithmetic at a price, whose price it is, and what a price must say of itself."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.contract import SchemaViolation, dumps, from_json, loads
from edge.inventory.fleet_file import load_fleet
from edge.report.stages import costing
from edge.results import cost
from edge.results.cost import Cost
from edge.results.energy import NotKnown
from edge.results.judged import Judged
from edge.results.stats import Summary
from edge.results.store import Measurement
from profiles.errors import ConfigError
from profiles.load import device_profile, device_profile_names
from profiles.schema import DeviceProfile, Price
from tests.measured import VALUES, measurement

OWN = Price(0.36, "EUR", "fleet.toml")


def made(profile: str = "local", price: Price | None = None) -> Measurement:
    whole = measurement("aaaa1111")
    return replace(whole, origin=replace(whole.origin, device_profile=profile, price=price))


def serving(per_s: float) -> Summary:
    return replace(Judged.from_samples(made(), VALUES).summary, throughput_per_s=per_s)


def of(whole: Measurement, per_s: float = 100.0) -> Cost:
    found = cost.of(whole, serving(per_s))
    assert isinstance(found, Cost)
    return found


def test_a_million_images_and_a_day_at_a_price() -> None:
    found = of(made(price=OWN))
    assert found.per_million_images == pytest.approx(1.0)  # 10,000 s at 0.0001 a second
    assert found.per_day == pytest.approx(8.64)
    assert found.images_per_day == pytest.approx(8_640_000)
    assert found.per_million_images * found.images_per_day / 1e6 == pytest.approx(found.per_day)


def test_of_an_instance_with_several_gpus_one_is_paid() -> None:
    found = of(made("h100-80gb"))
    price = device_profile("h100-80gb").price
    assert price is not None
    assert price.gpus == 8
    assert found.per_hour == pytest.approx(price.per_hour / 8)


def test_the_operator_s_price_goes_before_the_profile_s() -> None:
    assert of(made("a100-80gb")).price.currency == "USD"
    assert of(made("a100-80gb", OWN)).price == OWN


@pytest.mark.parametrize(
    ("whole", "per_s", "reason"),
    [
        (
            made(),
            100.0,
            "the profile local has no price an hour; with price_per_hour and currency fleet.toml gives one",
        ),
        (made("jetson-agx-orin-64gb"), 100.0, "the profile jetson-agx-orin-64gb has no price an hour"),
        (made(""), 100.0, "no device profile is named"),
        (made("of-a-newer-edgebench"), 100.0, "the profile of-a-newer-edgebench is not known here"),
        (made(price=OWN), math.nan, "its throughput is not known"),
    ],
)
def test_without_a_figure_there_is_a_reason(whole: Measurement, per_s: float, reason: str) -> None:
    found = cost.of(whole, serving(per_s))
    assert isinstance(found, NotKnown)
    assert found.reason.startswith(reason)


def test_the_lines_say_of_what_and_since_when() -> None:
    lines = [text for _, text in costing(of(made("h100-80gb")))]
    assert lines[0] == "19.11 USD for a million images at this throughput"
    assert lines[1] == "24 hours: 165.12 USD, 8,640,000 images"
    assert lines[2].startswith("at 6.88 USD an hour, one of 8 GPUs of AWS p5.48xlarge (SXM), us-east-1, as of 20")
    assert [text for _, text in costing(of(made(price=OWN)))][2] == "at 0.36 EUR an hour (fleet.toml)"


def test_what_is_stored_of_a_price_is_read_again() -> None:
    whole = made(price=OWN)
    assert from_json(Measurement, loads(dumps(whole))).origin.price == OWN


class TestProfiles:
    @pytest.mark.parametrize("name", device_profile_names())
    def test_a_price_has_a_date_a_source_and_an_instance(self, name: str) -> None:
        price = device_profile(name).price
        if name.startswith(("jetson", "local")):
            assert price is None, "a board that one owns has no price an hour"
        if price is not None:
            assert all((price.date, price.instance, price.region, price.source.startswith("https://")))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"per_hour": 0.0}, "0 is no price of an hour"),
            ({"per_hour": -1.0}, "-1 is no price of an hour"),
            ({"currency": "dollars"}, "'dollars' is no currency; write its code of three letters, such as USD"),
            ({"date": "May 2026"}, "'May 2026' is no date; write YYYY-MM-DD"),
            ({"gpus": 0}, "0 is not positive"),
        ],
    )
    def test_a_price_that_is_none_is_refused(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(SchemaViolation, match=message):
            replace(OWN, **changes)

    def test_a_profile_s_price_without_date_or_source_is_refused(self) -> None:
        profile: DeviceProfile = device_profile("a100-80gb")
        with pytest.raises(SchemaViolation, match="a profile's price has a date, and a source"):
            replace(profile, price=OWN)


class TestFleetFile:
    def price(self, folder: Path, text: str, device: str = "orin-1") -> Price | None:
        (folder / "fleet.toml").write_text(text)
        return load_fleet(folder / "fleet.toml").devices[device].price

    def test_a_device_has_the_price_that_it_is_given(self, tmp_path: Path) -> None:
        entry = '[devices.orin-1]\nprofile = "jetson-agx-orin-64gb"\nprice_per_hour = 0.12\ncurrency = "EUR"\n'
        assert self.price(tmp_path, entry) == Price(0.12, "EUR", "fleet.toml")

    def test_the_currency_may_be_everybody_s(self, tmp_path: Path) -> None:
        entry = '[defaults]\ncurrency = "EUR"\n[devices.orin-1]\nprofile = "jetson-agx-orin-64gb"\nprice_per_hour = 1\n'
        assert self.price(tmp_path, entry) == Price(1.0, "EUR", "fleet.toml")

    def test_this_machine_has_one_too_and_each_of_its_gpus(self, tmp_path: Path) -> None:
        entry = '[devices.local]\nprofile = "t4-16gb"\ngpus = [0, 1]\nprice_per_hour = 0.5\ncurrency = "USD"\n'
        assert self.price(tmp_path, entry, "local:1") == Price(0.5, "USD", "fleet.toml")

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ("price_per_hour = 0.12", "price_per_hour wants a currency beside it"),
            ('price_per_hour = 0\ncurrency = "EUR"', "0 is no price of an hour"),
            ('price_per_hour = 0.1\ncurrency = "euros"', "'euros' is no currency"),
            ('price_per_hour = "0.1"\ncurrency = "EUR"', "expected a number"),
        ],
    )
    @pytest.mark.parametrize("device", ["orin-1", "local"])
    def test_a_price_that_is_none_is_named(self, tmp_path: Path, device: str, keys: str, message: str) -> None:
        profile = "" if device == "local" else 'profile = "t4-16gb"\n'
        with pytest.raises(ConfigError) as caught:
            self.price(tmp_path, f"[devices.{device}]\n{profile}{keys}\n", device)
        assert message in caught.value.message
        assert f"devices.{device}" in caught.value.where
