"""What was seen of serial devices, who has them, and their locks.

Where a field says "in words", it holds an English template, to be said in the reader's language later: a text without
values, or a Said.
"""

from msgspec import Struct


class Clause(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Words for people inside a sentence: an English template, and what fills its placeholders."""

    text: str
    values: dict[str, str | int] = {}


class Said(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Words for people: an English template, and what fills its placeholders, with clauses, or lists of them."""

    text: str
    values: dict[str, str | int | Clause | tuple[Clause, ...]] = {}


class Device(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A serial device (a tty), or the name of one that is not there. None: could not be told.

    ``path``: the node asked about, or the one to use for it; ``node``: what it leads to, links followed; ``name``:
    the kernel's name (ttyUSB0). ``exists`` False: nothing is at ``path``; ``is_tty`` False: something else is.
    ``kind``: usb, on-board, pty, bluetooth, virtual, console or other. ``driver``, ``vendor``, ``product`` (words),
    ``vendor_id``, ``product_id`` (four hexadecimal digits), ``serial``, ``interface`` (number of the USB
    interface): sysfs. ``by_id``, ``by_path``: the lasting names udev gave it. ``uid``, ``gid``, ``mode``, ``user``,
    ``group`` of the node; ``acl``: users and groups with an access list of their own, as "user:anna:rw". ``what``:
    in words, what is there that is no tty ("a directory"). ``uart`` False: an on-board port without hardware behind
    it: it opens, and every setting fails with EIO. ``console``: the kernel writes its messages there. ``peer``: of
    a pseudo-terminal, the pids that have its other side.
    """

    path: str
    node: str | None = None
    name: str | None = None
    major: int | None = None
    minor: int | None = None
    exists: bool = True
    is_tty: bool = True
    kind: str = "other"
    driver: str | None = None
    vendor: str | None = None
    product: str | None = None
    vendor_id: str | None = None
    product_id: str | None = None
    serial: str | None = None
    interface: str | None = None
    usb_path: str | None = None
    by_id: tuple[str, ...] = ()
    by_path: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    user: str | None = None
    group: str | None = None
    acl: tuple[str, ...] = ()
    what: str | None = None
    uart: bool | None = None
    console: bool = False
    peer: tuple[int, ...] = ()


class OpenDevice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process's descriptor of the device, found by device number.

    ``path``: the name under which /proc shows it; ``deleted``: that node is gone; ``other_node``: the device it was
    opened on is no longer the one behind the name (unplugged and plugged in again). ``exclusive``: TIOCEXCL is set
    (None: could not be asked). ``cloexec`` as in Descriptor. ``controlling``: it is the process's controlling
    terminal.
    """

    pid: int
    fd: int
    path: str = ""
    deleted: bool = False
    other_node: bool = False
    exclusive: bool | None = None
    cloexec: bool | None = None
    controlling: bool = False
    #: The device behind this descriptor is gone (hung up: every read and ioctl fails); None: could not be asked.
    hung_up: bool | None = None


class FileLock(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lock of the kernel's on the device node: /proc/locks. ``kind``: flock, posix or ofd; ``pid`` -1 for ofd.

    ``pid`` of a flock lives, where any of ``holders`` could be found: a flock outlives the process that took it
    (``taken_by``) in a child that has its descriptor. ``holders``: pids with a descriptor that carries the lock.
    ``waiters``: pids that wait for it.
    """

    kind: str
    mode: str
    pid: int
    holders: tuple[int, ...] = ()
    waiters: tuple[int, ...] = ()
    taken_by: int | None = None


class LockOwner(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The process that a lock file names. ``pid``: its number here, which differs where a container wrote the file.

    ``began``: ISO 8601, UTC; ``began_after``: seconds from the file's mtime to its start, negative where it is older
    than the file; ``slack``: how wrong that may be, for the clock may have been set (None: without bound).
    ``has_device`` None: its descriptors may not be looked at; ``through``: its ancestors or descendants with the
    device open. ``ended``: a zombie. ``kernel``: a thread of the kernel's. ``may_have_written`` False: the file belongs
    to a user that the process is not.
    """

    pid: int
    name: str = ""
    uid: int | None = None
    user: str | None = None
    began: str | None = None
    began_after: float | None = None
    slack: float | None = None
    has_device: bool | None = None
    through: tuple[int, ...] = ()
    ended: bool = False
    kernel: bool = False
    may_have_written: bool | None = None


class LockFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A UUCP lock file for the device.

    ``path`` of it; ``format``: hdb, ascii, named, binary, empty, garbage or unreadable; ``pid``: who it says has
    the device, ``by``: the program's name where the file has one. ``written``: its mtime (ISO 8601, UTC),
    ``age_seconds`` of it. ``uid``, ``user``: its owner. ``link``: it is a symbolic link, and was not followed.
    ``why``: why it can't be read. ``state``: live, dead (no such process), recycled (the pid is a process that
    began after the file was written), stranger (a process that lives and does not have the device open), unknown
    (written in another pid namespace or on another host), or nobody (no pid in it). ``shared``: the directory is on
    a network or shared with a container. ``sure`` False: the state is the likely one, not proven. ``owner``: the
    process with that pid, None where there is none. ``where``: why the pid may be another process's here: network
    (on a file system of ``values["kind"]``), outside (from outside this pid namespace), container (shared with one,
    in which the pid is that of ``values["alias"]`` here) or byte-order (another kind of machine's). ``removable``: the
    asker may delete the file. ``companion``: lockdev's second file of the same pid, which names no device.
    ``missing`` True: proven that no process has the pid here. ``kind``: what is there instead of a file ("a FIFO").
    ``why``, ``kind``: in words.
    """

    path: str
    format: str
    pid: int | None = None
    by: str | None = None
    written: str | None = None
    age_seconds: float | None = None
    uid: int | None = None
    user: str | None = None
    link: bool = False
    why: str | Said | None = None
    state: str = "unknown"
    shared: bool = False
    sure: bool = True
    owner: LockOwner | None = None
    where: str | None = None
    values: dict[str, str | int] = {}
    removable: bool | None = None
    companion: bool = False
    missing: bool = False
    kind: str | None = None


class LockDirectory(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A directory for lock files of which something is to be said: it leads elsewhere, anybody may write in it.

    ``trouble``: in words, to follow the path.
    """

    path: str
    trouble: str | Said


class OpenAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What open(2) answers to the asker. ``errno`` None: it would succeed; ``known`` False: that can't be said.

    ``by``: "kernel" (really opened, --probe) or "rules". ``others``: what an ordinary user's open would be answered,
    where it is another (TIOCEXCL does not stop root).
    """

    errno: str | None = None
    known: bool = True
    by: str = "rules"
    others: str | None = None


class PppLink(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a pppd on the device does: ``peer`` (``call`` name or options file), ``interface``, whether it is ``up``.

    ``file``: with the peer's options; ``link``: the ``linkname``; ``by``: who started pppd (NetworkManager,
    wvdial); ``dialling``: chat's pid while it dials; ``persistent``: it dials again by itself; ``speaking``: it has
    /dev/ppp open, so the other end has answered (None: not readable).
    """

    pid: int
    peer: str | None = None
    interface: str | None = None
    up: bool | None = None
    remote: str | None = None
    file: str | None = None
    link: str | None = None
    by: str | None = None
    dialling: int | None = None
    persistent: bool = False
    speaking: bool | None = None


class Neighbour(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device beside the one asked about, with its ``holders``: there instead of it, or of the same modem.

    ``why``: in words.
    """

    device: Device
    why: str = ""
    holders: tuple[int, ...] = ()
    #: What udev says a modem's port is for, in words, with "and" between several: "AT commands", "GPS (NMEA)" …
    role: str | None = None


class UdevRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a udev rules file that names this device's vendor and product. ``masked``: the file has no effect."""

    path: str
    line: int
    text: str
    masked: bool = False


class UdevSeen(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What udev knows of a device. ``known`` False: it has no record of it, so udev or the device is not there.

    ``properties``: of its record, those about ModemManager and what was started for it; ``tags``: uaccess, systemd …
    ``rules``: lines that name its vendor and product. ``brltty``: the rules file that hands devices to BRLTTY.
    """

    known: bool = False
    properties: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    rules: tuple[UdevRule, ...] = ()
    brltty: str | None = None


class DeviceSeen(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that was seen of one device."""

    device: Device
    answer: OpenAnswer = OpenAnswer(known=False)
    open_by: tuple[OpenDevice, ...] = ()
    file_locks: tuple[FileLock, ...] = ()
    lock_files: tuple[LockFile, ...] = ()
    lock_directories: tuple[LockDirectory, ...] = ()
    #: Why TIOCEXCL could not be read from some process that has the device open.
    exclusive_why: str | None = None
    ppp: tuple[PppLink, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    #: USB devices without a tty, in words: "1a86:7523 CH340 at 1-2: no driver", "… taken by brltty", "… by usbip".
    unclaimed: tuple[str | Said, ...] = ()
    asker_groups: tuple[int, ...] = ()
    #: Groups that the user database gives the asker, and that its session does not have: a new login is needed.
    later_groups: tuple[int, ...] = ()
    #: What a name of another system (COM3, /dev/cu.usbmodem1) would be on this one, in words: a sentence.
    meant: str | Said | None = None
    #: Processes that may not be looked at, and whose controlling terminal the device is.
    controlled_by: tuple[int, ...] = ()
    #: What a modem's port is for, by udev, in words as above; the kernel's command line where it names this device
    #: as a console.
    role: str | None = None
    console: str | None = None
    udev: UdevSeen | None = None
    #: The name of the user who asks.
    asker: str | None = None
