"""The three networks in PyTorch, eager or compiled: a step, and an epoch with a `DataLoader`.

Attention is `scaled_dot_product_attention`. Compiled means `torch.compile` of network and loss,
with the fused Adam; eager means neither.
"""

import torch
from protocol import Turns
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

turns = Turns()
sizes = turns.settings
ITEMS, D, H, L = (sizes[name] for name in ("items", "width", "heads", "length"))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(D, D) for _ in range(4))

    def forward(self, asking, x, mask=None):
        query, key, value = (
            layer(content).unflatten(-1, (H, D // H)).transpose(1, 2)
            for layer, content in ((self.query, asking), (self.key, x), (self.value, x))
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))


def seen(history):
    """(B, 1, L, L) where one may look: at what is real and not later, and always at oneself."""
    causal = torch.ones(L, L, dtype=torch.bool).tril()
    alone = torch.eye(L, dtype=torch.bool)
    return ((history > 0)[:, None, :] & causal | alone)[:, None]


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(ITEMS, D)
        self.attention = Attention()
        self.dense = nn.Linear(D, ITEMS)

    def forward(self, history):
        x = self.embedding(history)
        return self.dense(self.attention(x, x))


class Repaired(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(ITEMS + 1, D), nn.Embedding(L, D)
        self.attention, self.cross = Attention(), Attention()
        self.dense = nn.Linear(D, ITEMS + 1)

    def forward(self, history):
        x = self.embedding(history) + self.positions.weight.flip(0)
        mask = seen(history)
        x = self.attention(x, x, mask)
        return self.dense(self.cross(x[:, -1:], x, mask[:, :, -1:])[:, 0])


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.norms = nn.ModuleList([nn.LayerNorm(D, eps=1e-6) for _ in range(2)])
        self.wide, self.narrow = nn.Linear(D, 2 * D), nn.Linear(2 * D, D)

    def forward(self, x, mask):
        normed = self.norms[0](x)
        x = x + self.attention(normed, normed, mask)
        return x + self.narrow(functional.gelu(self.wide(self.norms[1](x)), approximate="tanh"))


class SASRec(nn.Module):
    def __init__(self):
        super().__init__()
        self.item, self.bought = nn.Embedding(ITEMS, D), nn.Embedding(2, D)
        self.place = nn.Embedding(L, D)
        self.blocks = nn.ModuleList([Block() for _ in range(sizes["blocks"])])
        self.norm = nn.LayerNorm(D, eps=1e-6)
        self.arm, self.bias = nn.Parameter(torch.empty(D, D)), nn.Parameter(torch.empty(ITEMS))

    def forward(self, history):
        x = self.item(history.clamp(min=1) - 1) + self.bought((history > 0).long())
        x = x + self.place.weight.flip(0)
        mask = seen(history)
        for block in self.blocks:
            x = block(x, mask)
        keys = self.item.weight @ self.arm / D**0.5
        return self.norm(x[:, -1]) @ keys.T + self.bias


def start(model):
    """Put the given first weights in, by name."""
    left = dict(model.named_parameters())
    for name, array in turns.inputs.items():
        if not name.startswith("w/"):
            continue
        name, tensor = name.removeprefix("w/"), torch.from_numpy(array)
        if name.endswith(".kernel"):
            name, tensor = name.replace(".kernel", ".weight"), tensor.T
        elif name.endswith((".embedding", ".scale")):
            name = name.rpartition(".")[0] + ".weight"
        elif name in ("item", "bought", "place"):
            name = f"{name}.weight"
        elif name in ("arm", "bias"):
            tensor = tensor[0]
        parameter = left.pop(name, None)
        if parameter is not None:
            with torch.no_grad():
                parameter.copy_(tensor)
    assert not left, f"no first weights for {sorted(left)}"


model = {"plain": Plain, "repaired": Repaired, "sasrec": SASRec}[sizes["network"]]()
start(model)
history, target = (torch.from_numpy(turns.inputs[name]).long() for name in ("history", "target"))
if sizes["network"] == "plain":
    history, target = history - 1, target - 1
elif sizes["network"] == "repaired":
    target = target[:, -1]
else:
    target = target[:, -1] - 1


def loss_of(history, target):
    return functional.cross_entropy(model(history).flatten(0, -2), target.flatten())


size = sizes["batch"]
with torch.no_grad():
    first_loss = float(loss_of(history[:size], target[:size]))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=sizes["compiled"] or None)
if sizes["compiled"]:
    loss_of = torch.compile(loss_of)


def step(history, target):
    optimizer.zero_grad()
    loss = loss_of(history, target)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def epoch():
    return sum(step(*batch) for batch in loader)


loader = DataLoader(TensorDataset(history, target), batch_size=size, shuffle=True)
if sizes["part"] == "step":
    turns.inner = sizes["steps"]
    turns.take(lambda: step(history[:size], target[:size]))
else:
    turns.take(epoch)
turns.finish({"torch": torch.__version__}, loss=first_loss)
