"""What the candidates' optimizers share: the others inside."""


class Around:
    """An optimizer whose steps others take, in training and evaluation mode alike."""

    can_skip = True

    def __init__(self, *inner):
        self._inner = inner

    @property
    def found_inf(self):
        return self._inner[0].found_inf

    @found_inf.setter
    def found_inf(self, value):
        for optimizer in self._inner:
            optimizer.found_inf = value

    @property
    def param_groups(self):
        return [group for optimizer in self._inner for group in optimizer.param_groups]

    def parameters(self):
        return [p for group in self.param_groups for p in group["params"]]

    @property
    def state(self):
        inner = (optimizer.state for optimizer in self._inner)
        return {parameter: state for each in inner for parameter, state in each.items()}

    def z_of(self, parameter):
        """z of Schedule-Free."""
        return self.state[parameter]["z"]

    def step(self):
        for optimizer in self._inner:
            optimizer.step()

    def train(self):
        for optimizer in self._inner:
            optimizer.train()

    def eval(self):
        for optimizer in self._inner:
            optimizer.eval()
