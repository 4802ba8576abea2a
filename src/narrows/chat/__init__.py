"""Conversations: what they are, how they are read and written, rendered to tokens and put into batches.

``conversation`` holds the data, ``readers`` the files, ``render`` the only way from a chat to tokens,
``batches`` the padded tensors. No model code lives here.
"""

from narrows.chat.batches import Batch, batches, collate, length_order
from narrows.chat.conversation import Conversation, Message, Role
from narrows.chat.readers import read_conversations, write_conversations
from narrows.chat.render import Rendered, Renderer

__all__ = [
    "Batch",
    "Conversation",
    "Message",
    "Rendered",
    "Renderer",
    "Role",
    "batches",
    "collate",
    "length_order",
    "read_conversations",
    "write_conversations",
]
