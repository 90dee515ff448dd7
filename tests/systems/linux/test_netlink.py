"""The transport against an imaginary kernel: what it must believe, and what it must not."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.systems.linux import netlink
from inuse.systems.linux.netlink import NetlinkError, NetlinkSocket, attribute, attributes, split

OURS = 4711
KIND = 20


def message(kind=KIND, flags=0, sequence=1, port=OURS, payload=b""):
    body = struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, port) + payload
    return body + bytes(-len(payload) % 4)


def done(number=0, **header):
    return message(netlink.NLMSG_DONE, payload=struct.pack("=i", -number), **header)


def refusal(number, **header):
    return message(netlink.NLMSG_ERROR, payload=struct.pack("=i", -number) + bytes(16), **header)


class Kernel:
    """Answers each request with the next list of datagrams; an exception in it is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.queue = []
        self.requests = []

    def sendto(self, data, _address):
        self.requests.append(bytes(data))
        self.queue += self.answers.pop(0)

    def getsockname(self):
        return OURS, 0

    def recvfrom_into(self, buffer, _size, _flags):
        item = self.queue.pop(0)
        if isinstance(item, BaseException):
            raise item
        data, sender = item if isinstance(item, tuple) else (item, 0)
        fits = data[: len(buffer)]
        buffer[: len(fits)] = fits
        return len(data), (sender, 0)

    def close(self):
        self.queue.clear()


class Link(NetlinkSocket):
    def __init__(self, *answers):
        self.kernel = Kernel(*answers)
        self.opened = []
        super().__init__(netlink.NETLINK_SOCK_DIAG)

    def _open(self, receive_bytes):
        self.opened.append(receive_bytes)
        self._socket = self.kernel


def dump(*answers):
    return Link(*answers).dump(KIND, b"request")


def failure(*answers):
    with pytest.raises(NetlinkError) as caught:
        dump(*answers)
    return caught.value


def trouble_of(call):
    """The number of the NetlinkError that a call ends with, None where it ends well; nothing else passes."""
    try:
        call()
    except NetlinkError as trouble:
        return trouble.errno
    return None


def test_the_messages_of_several_datagrams_are_one_answer():
    assert dump([message(payload=b"one!"), message(payload=b"two") + done()]) == [
        (KIND, b"one!"),
        (KIND, b"two"),
    ]


def test_done_without_a_number_is_success():
    assert dump([message(netlink.NLMSG_DONE)]) == []


def test_an_error_inside_done_is_an_error():
    assert failure([message(payload=b"one!") + done(errno.ENOENT)]).errno == errno.ENOENT


def test_an_error_message_is_an_error():
    trouble = failure([refusal(errno.EOPNOTSUPP)])
    assert trouble.errno == errno.EOPNOTSUPP
    assert trouble.unsupported
    assert isinstance(trouble, OSError)


def test_an_acknowledgement_in_the_place_of_a_dump_is_no_answer():
    assert failure([refusal(0)]).errno == errno.EBADMSG


def test_only_troubles_of_not_being_there_are_unsupported():
    assert NetlinkError(errno.EPROTONOSUPPORT, "").unsupported
    assert not NetlinkError(errno.EBADMSG, "").unsupported
    assert not NetlinkError(errno.EPERM, "").unsupported


@pytest.mark.parametrize("where", ["row", "done"])
def test_an_interrupted_dump_is_made_again(where):
    flags = {"row": 0, "done": 0} | {where: netlink.NLM_F_DUMP_INTR}
    link = Link(
        [message(flags=flags["row"], payload=b"old!"), done(flags=flags["done"])],
        [message(sequence=2, payload=b"new!"), done(sequence=2)],
    )
    assert link.dump(KIND, b"") == [(KIND, b"new!")]


def test_a_dump_that_is_always_interrupted_is_given_up():
    answers = [[done(sequence=n + 1, flags=netlink.NLM_F_DUMP_INTR)] for n in range(netlink.ATTEMPTS)]
    assert failure(*answers).errno == errno.EAGAIN


@pytest.mark.parametrize("sign", [OSError(errno.ENOBUFS, "full"), message(netlink.NLMSG_OVERRUN)])
def test_an_overflow_is_met_with_a_larger_buffer(sign):
    link = Link([message(payload=b"lost"), sign], [message(sequence=2, payload=b"kept"), done(sequence=2)])
    assert link.dump(KIND, b"") == [(KIND, b"kept")]
    assert link.opened == [0, netlink.RECEIVE_BYTES]


def test_an_overflow_every_time_is_given_up():
    assert failure(*[[OSError(errno.ENOBUFS, "full")]] * netlink.ATTEMPTS).errno == errno.EAGAIN


def test_a_datagram_larger_than_the_buffer_is_refused():
    assert failure([bytes(netlink.BUFFER_BYTES + 1)]).errno == errno.EMSGSIZE


def test_other_processes_are_not_listened_to():
    forged = message(payload=b"forged") + done()
    assert dump([(forged, 4242), message(payload=b"real") + done()]) == [(KIND, b"real")]


def test_answers_to_others_are_skipped():
    strangers = message(sequence=99, payload=b"late") + message(port=1, payload=b"mine") + done(errno.EIO, sequence=99)
    assert dump([strangers, message(payload=b"real"), done()]) == [(KIND, b"real")]


def test_noop_is_nothing():
    assert dump([message(netlink.NLMSG_NOOP) + done()]) == []


def test_silence_ends():
    assert failure([TimeoutError("timed out")]).errno == errno.ETIMEDOUT


def test_endless_talk_of_others_ends(monkeypatch):
    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr(netlink, "monotonic", lambda: float(next(clock)))
    assert failure([message(sequence=99)] * 100).errno == errno.ETIMEDOUT


def test_a_socket_that_is_refused_is_a_netlink_error(monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.EAFNOSUPPORT, "no")

    monkeypatch.setattr(netlink._socket, "socket", refuse)
    with pytest.raises(NetlinkError) as caught:
        NetlinkSocket(netlink.NETLINK_SOCK_DIAG)
    assert caught.value.unsupported


def test_a_request_waits_for_its_acknowledgement():
    link = Link([message(sequence=99), refusal(0)], [refusal(errno.ENOENT, sequence=2)])
    link.request(KIND, b"do it")
    _, kind, flags, sequence, _ = struct.unpack_from("=IHHII", link.kernel.requests[0])
    assert (kind, flags, sequence) == (KIND, netlink.NLM_F_REQUEST | netlink.NLM_F_ACK, 1)
    with pytest.raises(NetlinkError) as caught:
        link.request(KIND, b"do it")
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    "datagram",
    [
        b"short",
        message()[:15],
        struct.pack("=IHHII", 15, KIND, 0, 1, OURS),
        struct.pack("=IHHII", 0, KIND, 0, 1, OURS),
        struct.pack("=IHHII", 20, KIND, 0, 1, OURS),
        message() + b"\0",
        message(netlink.NLMSG_ERROR, payload=b"\0"),
        message(netlink.NLMSG_DONE, payload=b"\0"),
    ],
)
def test_lies_about_lengths_are_refused(datagram):
    assert failure([datagram]).errno == errno.EBADMSG


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_a_netlink_error(data):
    assert trouble_of(lambda: list(split(data, 0, 0))) in {None, errno.EBADMSG}


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=40))))
def test_what_was_packed_comes_back(items):
    data = b"".join(message(kind, flags, payload=payload) for kind, flags, payload in items)
    assert list(split(data, 1, OURS)) == items


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40))), st.binary(max_size=8))
def test_attributes_come_back(items, before):
    data = before + b"".join(attribute(kind, value) for kind, value in items)
    assert list(attributes(data, len(before))) == items


def test_the_flags_of_an_attribute_are_not_its_type():
    assert list(attributes(attribute(0x8000 | 21, b"four"), 0)) == [(21, b"four")]


@pytest.mark.parametrize("data", [b"\x08", b"\3\0\1\0", b"\0\0\1\0", b"\x09\0\1\0four", b"\xff\xff\xff\xff"])
def test_attributes_that_lie_are_refused(data):
    with pytest.raises(NetlinkError):
        list(attributes(data, 0))


@given(st.binary(max_size=100))
def test_any_bytes_are_attributes_or_a_netlink_error(data):
    assert trouble_of(lambda: list(attributes(data, 0))) in {None, errno.EBADMSG}


BROKEN = st.binary(max_size=60)
WHOLE = st.binary(max_size=20).map(lambda payload: message(payload=payload))


@given(st.lists(BROKEN | WHOLE, max_size=5))
def test_whatever_the_kernel_says_there_is_an_answer_or_a_netlink_error(datagrams):
    later = [[done(sequence=number)] for number in range(2, netlink.ATTEMPTS + 1)]
    assert trouble_of(lambda: dump([*datagrams, done()], *later)) != 0


def test_an_interface_that_is_gone_keeps_its_number():
    assert netlink.interface_name(2**31 - 1) == "if2147483647"
    assert netlink.interface_name(-1) == "if-1"
