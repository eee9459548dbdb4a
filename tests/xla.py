"""JAX with several devices on a CPU."""


def devices(count: int, *flags: str) -> dict[str, str]:
    """The environment of a process in which JAX has `count` devices.

    XLA's all-reduce waits on a thread that another device's convolution may need: with
    as few threads as cores, two devices were seen to wait for each other for ever.
    """
    count_flag = f"--xla_force_host_platform_device_count={count}"
    return {
        "XLA_FLAGS": " ".join((count_flag, *flags)),
        "JAX_PLATFORMS": "cpu",
        "NPROC": "8",
    }
