"""Where Flower is to listen: what is wrong with it is told as it is."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from farm.errors import InputError
from farm.monitor.flower_launch import check_port, config_file
from farm.settings import Settings


def test_a_port_that_somebody_has_is_in_use_until_it_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = Settings(flower_port=server.getsockname()[1])
        with pytest.raises(InputError, match="is in use"):
            check_port(settings)
    check_port(settings)


@pytest.mark.parametrize("address", ["nonsense.invalid", "192.0.2.1"])
def test_an_address_of_no_interface_is_no_port_in_use(address: str) -> None:
    with pytest.raises(InputError, match=f"flower-address: {address} is no address of this machine"):
        check_port(Settings(flower_address=address))


def test_run_from_its_sources_farm_reads_their_flower_configuration() -> None:
    assert config_file("flowerconfig.py") == Path(__file__).parents[3] / "config" / "flowerconfig.py"
