"""An epoch of RecBole's own SASRec by its own trainer, on the histories that the others get.

It pads on the right and embeds one row more for padding; its examples are written as its
"benchmark" files, so that it neither splits nor augments them again. No dropout, full
cross-entropy, Adam, sizes as the others have.
"""

from pathlib import Path

import recbole
import torch
from protocol import Turns
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed

turns = Turns()
sizes = turns.settings
history, target = turns.inputs["history"], turns.inputs["target"][:, -1]
folder = Path.cwd() / "bench"
folder.mkdir()
head = "user_id:token\titem_id_list:token_seq\titem_id:token"
lines = [
    f"{number}\t{' '.join(map(str, row[row > 0]))}\t{item}"
    for number, (row, item) in enumerate(zip(history, target, strict=True))
]
for part, kept in (("train", lines), ("valid", lines[:2]), ("test", lines[:2])):
    text = "\n".join([head, *kept]) + "\n"
    (folder / f"bench.{part}.inter").write_text(text, encoding="utf-8")
config = Config(
    model="SASRec",
    dataset="bench",
    config_dict={
        "data_path": str(Path.cwd()),
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id_list", "item_id"]},
        "alias_of_item_id": ["item_id_list"],
        "MAX_ITEM_LIST_LENGTH": sizes["length"],
        "n_layers": sizes["blocks"],
        "n_heads": sizes["heads"],
        "hidden_size": sizes["width"],
        "inner_size": 2 * sizes["width"],
        "hidden_dropout_prob": 0.0,
        "attn_dropout_prob": 0.0,
        "hidden_act": "gelu",
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "train_batch_size": sizes["batch"],
        "learning_rate": 1e-3,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
        "checkpoint_dir": str(Path.cwd()),
    },
)
init_seed(0, True)
dataset = create_dataset(config)
data, _, _ = data_preparation(config, dataset)
model = SASRec(config, data.dataset)
trainer = Trainer(config, model)
assert len(data) == sizes["steps"]
# the catalogue is what stands in the files: all items do where there are enough examples
print(f"{dataset.item_num} rows of the embedding")
epochs = iter(range(turns.count))
turns.take(lambda: trainer._train_epoch(data, next(epochs)))
turns.finish({"recbole": recbole.__version__, "torch": torch.__version__})
