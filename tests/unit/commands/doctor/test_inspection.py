"""The reply of one node to CLUSTER NODES."""

from schwabstream.broker.url import Address
from schwabstream.commands.doctor.inspection import Member, read_view

ASKED = Address("10.0.0.1", 7001)
VIEW = """\
a1 :7001@17001,host-1 myself,master - 0 0 1 connected 0-5460 [93->-b2]
b2 10.0.0.2:7002@17002 master - 0 1 2 connected 5461-10922 16383
c3 fd00::3:7003@17003 slave,fail b2 0 1 2 disconnected
d4 :0@0 master,noaddr - 0 0 0 disconnected
"""


def test_the_owner_and_its_replicas() -> None:
    """The owner is the node whose ranges have the slot; its replicas are listed also when they have failed."""
    second, third = Address("10.0.0.2", 7002), Address("fd00::3", 7003)
    every = (ASKED, second, third)
    assert read_view(VIEW, ASKED, 16383, "ok") == Member("ok", second, (third,), every)
    assert read_view(VIEW, ASKED, 5460, "ok").owner == ASKED


def test_a_slot_without_an_owner() -> None:
    """A slot in no range has no owner and no replicas; a slot that is only moving there does not count."""
    view = read_view(VIEW, ASKED, 12_000, "fail")
    assert (view.owner, view.replicas) == (None, ())


def test_a_loopback_address_means_the_machine_that_was_asked() -> None:
    """The doctor asks the same address as the route, not the machine on which it runs."""
    view = read_view(VIEW.replace("10.0.0.2", "127.0.0.1"), ASKED, 16383, "ok")
    assert view.owner == Address(ASKED.host, 7002)
