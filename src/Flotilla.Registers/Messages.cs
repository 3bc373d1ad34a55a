namespace Flotilla.Registers;

/// <summary>
/// A message between two voters of one epoch. A closed union; the envelope (group, sender, its incarnation) belongs to the transport. A replica
/// answers only in the epoch that it has open, and drops the rest: whoever asked asks again. Messages may be lost, late, repeated and in any order.
/// </summary>
/// <param name="Epoch">The epoch that the sender speaks in.</param>
public abstract record RegisterMessage(RegisterEpoch Epoch);

/// <summary>How new is a key with you? The first phase of both reads and writes (ABD 1995; Lynch and Shvartsman 1997 for several writers).</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Question">Which question this is.</param>
/// <param name="Key">The key.</param>
/// <param name="WantsItem">A read: an item newer than <paramref name="Above"/> is wanted with its value.</param>
/// <param name="Above">What the asker has itself.</param>
public sealed record Query(RegisterEpoch Epoch, QuestionId Question, ReadOnlyMemory<byte> Key, bool WantsItem, Stamp Above) : RegisterMessage(Epoch);

/// <summary>Answers <see cref="Query"/>, once what it says is durable.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Question">The question answered.</param>
/// <param name="Stamp">The newest that the sender holds on disk, of the state beneath the overlay if the overlay has nothing.</param>
/// <param name="Item">The item, if it was wanted and is newer than the asker's; else null.</param>
public sealed record QueryReply(RegisterEpoch Epoch, QuestionId Question, Stamp Stamp, Item? Item) : RegisterMessage(Epoch);

/// <summary>Hold this, unless you hold something newer. The second phase of a write, and the write-back of a read.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Question">Which question this is.</param>
/// <param name="Item">What to hold.</param>
public sealed record Store(RegisterEpoch Epoch, QuestionId Question, Item Item) : RegisterMessage(Epoch);

/// <summary>Answers <see cref="Store"/>: the sender has it, or something newer, on disk.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Question">The question answered.</param>
public sealed record Stored(RegisterEpoch Epoch, QuestionId Question) : RegisterMessage(Epoch);

/// <summary>Hold all of these, each unless you hold something newer: how async sends its writes to the others.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Question">Which batch this is.</param>
/// <param name="Items">What to hold; of each key once.</param>
public sealed record Spread(RegisterEpoch Epoch, QuestionId Question, IReadOnlyList<Item> Items) : RegisterMessage(Epoch);

/// <summary>Answers <see cref="Spread"/>: all of it, or what is newer, is on the sender's disk.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Question">The batch.</param>
public sealed record SpreadReply(RegisterEpoch Epoch, QuestionId Question) : RegisterMessage(Epoch);

/// <summary>Begins a comparison of two overlays (anti-entropy; Dynamo 2007, section 4.7).</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Question">Which comparison this is.</param>
/// <param name="Groups">The sum of the digests of each group of slots, in order.</param>
public sealed record Compare(RegisterEpoch Epoch, QuestionId Question, IReadOnlyList<ulong> Groups) : RegisterMessage(Epoch);

/// <summary>Answers <see cref="Compare"/>.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Question">The comparison.</param>
/// <param name="Groups">Some of the groups whose sums differ at the sender; none if all are equal.</param>
/// <param name="Slots">The digests of the slots of these groups in which the sender has anything; all others are 0.</param>
public sealed record CompareReply(RegisterEpoch Epoch, QuestionId Question, IReadOnlyList<int> Groups, IReadOnlyList<SlotDigest> Slots) : RegisterMessage(Epoch);

/// <summary>What the sender has of a slot whose digests differ, a stretch of its keys at a time.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Question">Which page this is.</param>
/// <param name="Slot">The slot.</param>
/// <param name="After">The stretch begins behind this key; empty: at the first.</param>
/// <param name="Keys">All that the sender has in the stretch, in the order of keys. The stretch ends with the last of them.</param>
/// <param name="IsLast">The stretch ends with the slot instead.</param>
public sealed record Page(RegisterEpoch Epoch, QuestionId Question, ushort Slot, ReadOnlyMemory<byte> After, IReadOnlyList<KeyStamp> Keys, bool IsLast) : RegisterMessage(Epoch);

/// <summary>Answers <see cref="Page"/>, once what it says is durable.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Question">The page.</param>
/// <param name="Newer">What the sender has newer, or alone.</param>
/// <param name="Wanted">Keys that the asker has newer, or alone.</param>
/// <param name="Through">How far the sender looked: go on behind this key.</param>
/// <param name="IsLast">The slot is done.</param>
public sealed record PageReply(RegisterEpoch Epoch, QuestionId Question, IReadOnlyList<Item> Newer, IReadOnlyList<ReadOnlyMemory<byte>> Wanted, ReadOnlyMemory<byte> Through, bool IsLast) : RegisterMessage(Epoch);

/// <summary>The leader that ends an epoch reads an overlay, a stretch at a time.</summary>
/// <param name="Epoch">The epoch that ends.</param>
/// <param name="Question">Which stretch this is.</param>
/// <param name="After">It begins behind this key; empty: at the first.</param>
public sealed record MergeQuery(RegisterEpoch Epoch, QuestionId Question, ReadOnlyMemory<byte> After) : RegisterMessage(Epoch);

/// <summary>Answers <see cref="MergeQuery"/>; only from a replica that has applied the seal and holds <c>sealed(e)</c> on disk: nothing is ever added to what it says.</summary>
/// <param name="Epoch">The epoch that ends.</param>
/// <param name="Question">The stretch.</param>
/// <param name="Items">What the overlay holds, in the order of keys, tombstones included.</param>
/// <param name="IsLast">There is nothing behind the last of them.</param>
public sealed record MergeReply(RegisterEpoch Epoch, QuestionId Question, IReadOnlyList<Item> Items, bool IsLast) : RegisterMessage(Epoch);

/// <summary>The digest of what an overlay has in one slot.</summary>
public readonly record struct SlotDigest(ushort Slot, ulong Digest);
