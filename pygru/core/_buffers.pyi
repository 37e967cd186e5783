from typing import final

@final
class Borrowed: ...
