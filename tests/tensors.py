"""All tensors of a trainer, copied."""


def tensors(trainer):
    """Return every weight and buffer of its networks, by "network.key"."""
    return {
        f"{name}.{key}": value.clone()
        for name, network in trainer.networks.items()
        for key, value in network.state_dict().items()
    }
