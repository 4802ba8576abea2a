"""What a model writes next in a document, the format of pre-training, in which authors have traits."""

from collections.abc import Sequence

import torch

from narrows.chat import collate, length_order
from narrows.models import ChatModel
from narrows.progress import bar


@torch.no_grad()
def continue_documents(
    chat_model: ChatModel,
    documents: Sequence[str],
    *,
    max_new_tokens: int,
    seed: int = 0,
    batch_size: int = 512,
) -> list[str]:
    """Continue each document to the end of its line, drawing from the model's whole distribution.

    The same arguments give the same continuations on the same machine; the caller's random state is left as
    it was.

    Args:
        chat_model: a microworld's model.
        documents: their texts so far; each becomes a row, padded on the left.
        max_new_tokens: where a line that does not end is cut.
        seed: of the sampling.
        batch_size: documents continued together.

    Returns:
        The continuations, in the documents' order, without the newline and without spaces around them.
    """
    from transformers import GenerationConfig

    newline = chat_model.tokenizer.encode("\n", add_special_tokens=False)
    sampling = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=newline,
        pad_token_id=chat_model.pad_id,
    )
    rows = [chat_model.renderer.text(document) for document in documents]
    order = length_order(rows)
    texts = [""] * len(rows)
    with (
        torch.random.fork_rng(devices=range(torch.cuda.device_count())),
        bar("documents continued", total=len(rows)) as shown,
    ):
        torch.manual_seed(seed)
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            batch = collate([rows[place] for place in places], chat_model.pad_id, side="left")
            batch = batch.to(chat_model.device)
            tokens = chat_model.model.generate(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, generation_config=sampling
            )
            written = chat_model.tokenizer.batch_decode(tokens[:, batch.input_ids.shape[1] :])
            for place, text in zip(places, written, strict=True):
                texts[place] = text.partition("\n")[0].strip()
            shown.advance(len(places))
    return texts
