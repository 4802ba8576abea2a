import pytest
import torch

from narrows.chat import Conversation
from narrows.errors import AdapterError, DataError
from narrows.models import ChatModel, mean_residual_norm, residual_covariance


@pytest.fixture
def rows(chat_model: ChatModel, conversations: list[Conversation]):
    return [chat_model.renderer.render(conversation) for conversation in conversations]


def stream(chat_model: ChatModel, layer: int, rows) -> torch.Tensor:
    """The layer's output, one row at a time and without padding, (tokens, hidden)."""
    seen = []
    hook = chat_model.model.model.layers[layer].register_forward_hook(
        lambda module, arguments, output: seen.append(output[0].detach())
    )
    for row in rows:
        chat_model.model(input_ids=torch.tensor([row.input_ids]), use_cache=False)
    hook.remove()
    return torch.cat(seen).double()


@pytest.mark.parametrize("layer", [0, 3])
def test_padding_takes_no_part(chat_model: ChatModel, rows, layer: int):
    wanted = stream(chat_model, layer, rows)
    for size in (1, 2, 16):
        assert mean_residual_norm(chat_model, layer, rows, size) == pytest.approx(
            float(wanted.norm(dim=-1).mean())
        )
        found = residual_covariance(chat_model, layer, rows, size)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, torch.cov(wanted.T), rtol=1e-4, atol=1e-5)


def test_a_layer_out_of_range_and_no_rows_are_refused(chat_model: ChatModel, rows):
    with pytest.raises(AdapterError, match="0 to 3"):
        mean_residual_norm(chat_model, 4, rows)
    with pytest.raises(DataError, match="at least one row"):
        residual_covariance(chat_model, 0, [])
