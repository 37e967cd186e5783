from pygru.core.config import show_config
from pygru.core.threads import get_num_threads, num_threads, set_num_threads
from pygru.data.padding import pad_sequences, unpad_sequences
from pygru.gru import GRU, Gates, Tape
from pygru.variant import Variant
