"""Flower's address, port and configuration file."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from farm.errors import InputError
from farm.monitor.flower_launch import check_port, config_file
from farm.settings import Settings


def test_a_port_is_refused_while_it_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = Settings(flower_port=server.getsockname()[1])
        with pytest.raises(InputError, match="is in use"):
            check_port(settings)
    check_port(settings)


@pytest.mark.parametrize("address", ["nonsense.invalid", "192.0.2.1"])
def test_a_foreign_address_is_not_reported_as_a_port_in_use(address: str) -> None:
    with pytest.raises(InputError, match=f"flower-address: {address} is not an address of this machine"):
        check_port(Settings(flower_address=address))


def test_in_the_source_tree_flower_uses_the_configuration_of_that_tree() -> None:
    assert config_file("flowerconfig.py") == Path(__file__).parents[3] / "config" / "flowerconfig.py"
