namespace Flotilla.Data;

/// <summary>
/// What a replica needs of its engine: records ordered by key, with snapshots. Narrow on purpose, so that an engine for
/// data larger than memory can take the tree's place. One writer; a snapshot may be read on another thread meanwhile.
/// </summary>
public interface IRecordStore : IRecordView
{
    /// <summary>
    /// Inserts or replaces. The bytes are copied; they may be slices that this store handed out and that are still valid.
    /// </summary>
    void Put(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs);

    /// <summary>Removes; true if the key was there.</summary>
    bool Remove(ReadOnlySpan<byte> key);

    /// <summary>A view that later changes do not touch, in O(1). Let go of it by forgetting it.</summary>
    IRecordView Snapshot();
}

/// <summary>Records ordered by key, bytewise and unsigned, a key before its extensions; to read.</summary>
public interface IRecordView
{
    /// <summary>How many records there are.</summary>
    long Count { get; }

    /// <summary>Bytes of all keys and values.</summary>
    long Bytes { get; }

    /// <summary>
    /// Finds a record. Its memory may be slices of a page. From a snapshot they stay as they are for ever; from a live store
    /// they are valid until its next change: copy what is to be kept longer.
    /// </summary>
    bool TryGet(ReadOnlySpan<byte> key, out Record record);

    /// <summary>
    /// Visits records in key order from the first key not below <paramref name="from"/>, until <paramref name="visitor"/> says stop
    /// or the end. A live store must not be changed during the visit.
    /// </summary>
    void Visit<TVisitor>(ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor;

    /// <summary>
    /// As <see cref="Visit"/>, but only keys that begin with <paramref name="prefix"/>; a <paramref name="from"/> below the prefix,
    /// empty for example, starts at the first of them. Costs nothing per record that <see cref="Visit"/> doesn't.
    /// </summary>
    void VisitPrefix<TVisitor>(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor;

    /// <summary>
    /// Visits what differs between <paramref name="older"/>, a snapshot of the same store, and this view of it, in key order from
    /// the first key not below <paramref name="from"/>, until <paramref name="visitor"/> says stop or the end. Takes time for what
    /// was changed in between, not for what there is. A live store must not be changed during the visit.
    /// </summary>
    /// <exception cref="ArgumentException"><paramref name="older"/> is not a view of this kind of store.</exception>
    void VisitChanges<TVisitor>(IRecordView older, ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IChangeVisitor;
}

/// <summary>Receives what differs between two views, in key order.</summary>
public interface IChangeVisitor
{
    /// <summary>One key: its record before, null if there was none, and its record now, null if there is none. Returns false to stop.</summary>
    bool Visit(in Record? older, in Record? newer);
}

/// <summary>Receives records in key order.</summary>
public interface IRecordVisitor
{
    /// <summary>One record; the spans are valid during the call. Returns false to stop.</summary>
    bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs);
}
