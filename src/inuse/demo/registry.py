"""The list of everything that can be staged."""

from typing import Final

from inuse.demo import container, kernel, nat, serial, sleep, ssh, vpn
from inuse.demo import stagings as plain
from inuse.demo.model import Demo

#: In the order in which they are worth seeing.
DEMOS: Final = tuple(
    Demo(function.__name__.replace("_", "-"), situation, function)
    for function, situation in (
        (plain.bound_not_listening, "bound-not-listening"),
        (plain.time_wait, "time-wait"),
        (plain.inherited, "inherited"),
        (plain.inherited_workers, "inherited"),
        (plain.suspended_process, "suspended-process"),
        (plain.application, "application"),
        (plain.same_application, "same-application"),
        (container.container, "container"),
        (container.container_host_network, "container"),
        (ssh.ssh_forward, "ssh-forward"),
        (ssh.ssh_forward_dynamic, "ssh-forward"),
        (ssh.ssh_forward_remote, "ssh-forward"),
        (ssh.ssh_forward_master, "ssh-forward"),
        (ssh.ssh_forward_persist, "ssh-forward"),
        (ssh.ssh_forward_x11, "ssh-forward"),
        (vpn.vpn, "vpn"),
        (vpn.vpn_needs_it, "vpn"),
        (vpn.vpn_two_daemons, "vpn"),
        (vpn.vpn_wireguard, "vpn"),
        (vpn.vpn_by_chance, "vpn"),
        (sleep.sleep_resume, "sleep-resume"),
        (nat.nat_rule, "nat-rule"),
        (nat.nat_rule_legacy, "nat-rule"),
        (nat.nat_rule_node_port, "nat-rule"),
        (nat.nat_rule_host_port, "nat-rule"),
        (serial.serial_open, "serial-open"),
        (serial.serial_open_shared, "serial-open"),
        (serial.serial_locked, "serial-locked"),
        (serial.suspended_process_serial, "suspended-process"),
        (serial.inherited_serial, "inherited"),
        (serial.device_daemon, "device-daemon"),
        (serial.stale_lock, "stale-lock"),
        (serial.device_permission, "device-permission"),
        (serial.device_missing, "device-missing"),
        (plain.service, "service"),
        (plain.socket_activation, "socket-activation"),
        (plain.client_connection, "client-connection"),
        (plain.close_wait, "close-wait"),
        (plain.close_wait_abandoned, "close-wait"),
        (plain.closing, "closing"),
        (plain.descriptor_in_flight, "descriptor-in-flight"),
        (plain.kernel, "kernel"),
        (kernel.kernel_shared, "kernel"),
        (kernel.kernel_external, "kernel"),
        (kernel.kernel_moved, "kernel"),
        (kernel.kernel_geneve, "kernel"),
        (kernel.kernel_fou, "kernel"),
        (kernel.kernel_l2tp, "kernel"),
        (kernel.kernel_wireguard, "kernel"),
        (kernel.kernel_mptcp, "kernel"),
        (plain.hidden_holder, "hidden-holder"),
        (plain.privileged_port, "privileged-port"),
        (plain.address_not_local, "address-not-local"),
        (plain.address_not_local_tentative, "address-not-local"),
        (plain.security_policy, "security-policy"),
        (plain.security_policy_cgroup, "security-policy"),
        (plain.ephemeral_exhausted, "ephemeral-exhausted"),
        (plain.free, "free"),
    )
)
BY_NAME: Final = {demo.name: demo for demo in DEMOS}
#: What a newcomer sees first: most tools show nothing at all of it.
FIRST: Final = "bound-not-listening"
