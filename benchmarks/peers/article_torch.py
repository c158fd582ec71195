"""The article's plain network in PyTorch, eager: seconds a training step."""

import torch
from protocol import HEADS, ITEMS, WIDTH, measure, report, sequences
from torch import nn

torch.set_num_threads(max(1, len(__import__("os").sched_getaffinity(0))))


class Network(nn.Module):
    """Embedding, multi-head self-attention, a dense layer over the catalogue."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(ITEMS, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.dense = nn.Linear(WIDTH, ITEMS)

    def forward(self, history: torch.Tensor) -> torch.Tensor:
        x = self.embedding(history)
        x, _ = self.attention(x, x, x, need_weights=False)
        return self.dense(x)


history, target = (torch.from_numpy(array).long() for array in sequences())
model = Network()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)


def step() -> float:
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(history).flatten(0, 1), target.flatten())
    loss.backward()
    optimizer.step()
    return float(loss.detach())


report({"PyTorch, eager": measure(step)}, versions={"torch": torch.__version__})
