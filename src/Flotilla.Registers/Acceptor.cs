using Flotilla.Data;
using Flotilla.Registers.Overlays;

namespace Flotilla.Registers;

/// <summary>Where a replica stands with the epoch that its log names.</summary>
public enum EpochStanding
{
    /// <summary>No epoch, or one that this replica has no part in, or that has ended.</summary>
    Closed = 0,

    /// <summary>Its <c>opened</c> mark is on the way to the disk.</summary>
    Opening = 1,

    /// <summary>It is served.</summary>
    Open = 2,

    /// <summary>Nothing is stored in it any more; it is there to be read by whoever ends it.</summary>
    Sealed = 3,
}

/// <summary>
/// The part of a replica that holds what it is given, and says how new it is: the servers of ABD. Owns the overlay and the marks.
/// </summary>
/// <remarks>
/// <para>The rules, from DESIGN section 5, and what each is for:</para>
/// <list type="number">
/// <item>It speaks in the epoch that it has open and in no other (<see cref="Serves"/>). So an answer never carries over a seal, and a coordinator that
/// knows nothing of the seal finds no majority: whoever ends an epoch has sealed one.</item>
/// <item>It says only what is on its disk: an answer waits for the persist of what it speaks of. Else a read could return a value that a crash
/// takes back, and the next read return an older one.</item>
/// <item>It answers a merge read only once <c>sealed(e)</c> is on disk, which everything it was given before precedes there. So a merge that
/// has read a majority has read every write that was ever acknowledged: each sits on a majority, was there before those replicas were
/// sealed, and two majorities share one of them.</item>
/// <item>The overlay is dropped from the disk by <c>ended(e)</c> alone, in the order of the records, so no entry of an earlier epoch takes
/// anything from a later one. A Reopen goes on with the overlay that there is: <see cref="EpochTerms.Origin"/> tells the two apart, also
/// for a replica that learns of both by a snapshot.</item>
/// </list>
/// <para>Source: Attiya, Bar-Noy and Dolev, "Sharing Memory Robustly in Message-Passing Systems", 1995; Lynch and Shvartsman, "Robust Emulation of
/// Shared Memory Using Dynamic Quorum-Acknowledged Broadcasts", 1997.</para>
/// </remarks>
internal sealed class Acceptor(RegisterContext context, Overlay recovered)
{
    private ulong _sealedIn;

    public EpochStanding Standing { get; private set; }

    /// <summary>What the log says of the epoch that this replica has a part in; null if it has in none.</summary>
    public EpochTerms? Terms { get; private set; }

    public Overlay Overlay { get; private set; } = recovered;

    public bool Serves(RegisterEpoch epoch) => Standing == EpochStanding.Open && Terms!.Epoch == epoch;

    /// <summary>Takes part in an epoch, anew or again. True if the overlay is another one than before.</summary>
    public bool Open(EpochTerms terms)
    {
        var marks = context.Marks;
        if (terms.Self is null || terms.Epoch <= marks.Ended)
        {
            Close();
            return true;
        }

        Invariant.Require(terms.Voters is > 0 and <= 64 && terms.Self.Value.Number < terms.Voters, "an epoch has 1 to 64 voters, and this replica is one of them");
        Invariant.Require(terms.Origin <= terms.Epoch, "an epoch goes on with an earlier one, or with none");
        var isNew = marks.Opened < terms.Origin;
        var isKnown = Terms?.Origin == terms.Origin;
        if (marks.Opened < terms.Epoch)
        {
            Invariant.Require(!isNew || marks.Ended >= marks.Opened, "an epoch begins after the one before it has ended here");
            Overlay = isNew ? new Overlay() : Overlay;
            var number = context.Record(new RegisterRecord.Mark(MarkKind.Opened, terms.Epoch, terms.Epoch.Value, terms.Origin));
            Standing = EpochStanding.Opening;
            context.When(number, () => Standing = Standing == EpochStanding.Opening && Terms?.Epoch == terms.Epoch ? EpochStanding.Open : Standing);
        }
        else if (marks.Opened > terms.Epoch || marks.Sealed >= terms.Epoch)
        {
            // Sealed before this process began, or before the Reopen that its disk knows of already and its log is about to apply.
            Standing = EpochStanding.Sealed;
        }
        else if (Terms is null || Terms.Epoch < terms.Epoch)
        {
            Standing = EpochStanding.Open; // Its mark was on the disk when this process began.
        }

        Terms = terms;
        if (terms.Kind == RegisterKind.Async)
        {
            Overlay.KeepDigests();
        }

        return !isKnown;
    }

    /// <summary>True if the epoch that this replica has a part in is sealed by it.</summary>
    public bool Seal(RegisterEpoch epoch, ulong index)
    {
        if (Terms?.Epoch != epoch)
        {
            return false;
        }

        if (context.Marks.Sealed < epoch)
        {
            _sealedIn = context.Record(new RegisterRecord.Mark(MarkKind.Sealed, epoch, index));
        }

        Standing = EpochStanding.Sealed;
        return true;
    }

    /// <summary>The epoch has ended, and with it everything that this replica held of it.</summary>
    public void End(RegisterEpoch epoch, ulong index)
    {
        if (epoch >= context.Marks.Opened && context.Marks.Opened > context.Marks.Ended)
        {
            _ = context.Record(new RegisterRecord.Mark(MarkKind.Ended, epoch, index));
            Overlay = new Overlay();
            Close();
        }
    }

    /// <summary>How new a key is here: the newer of what the overlay has and the state beneath it, into which a merge may have put something already before a Reopen.</summary>
    public Stamp StampOf(ReadOnlyMemory<byte> key)
    {
        var held = Overlay.StampOf(key.Span);
        return TryState(key, out var record) && record.Version.CompareTo(held.Version) > 0 ? new Stamp(record.Version, Expired: false) : held;
    }

    /// <summary>The newest of a key here, copied; with no stamp if there never was anything.</summary>
    public Item ItemOf(ReadOnlyMemory<byte> key)
    {
        var held = Overlay.TryGet(key, out var item) ? item : Item.Gone(key, Stamp.None);
        return TryState(key, out var record) && record.Version.CompareTo(held.Stamp.Version) > 0
            ? Item.Of(key, new Stamp(record.Version, Expired: false), record.Value.ToArray(), record.ExpiresAtMs)
            : held;
    }

    /// <summary>
    /// Holds an item, unless the overlay has one as new. Returns the persist that makes what is there durable; 0 if it is. What is older than the state
    /// beneath is held too: it is not seen, and overlays become equal whatever state they lie upon.
    /// </summary>
    public ulong Hold(in Item item) =>
        Overlay.Put(in item, context.NextPersist) ? context.Record(new RegisterRecord.Held(Terms!.Epoch, item)) : Overlay.UnsyncedIn(item.Key);

    /// <summary>Whether the overlay has room for what a client of this replica wants to write. Repairs and other coordinators' writes are never refused.</summary>
    public bool HasRoomFor(ReadOnlyMemory<byte> key, int valueBytes)
    {
        var stamp = Overlay.StampOf(key.Span);
        return Overlay.Bytes + valueBytes + (stamp.IsNone ? key.Length : 0) <= context.Options.MaxOverlayBytes
            && (!stamp.IsNone || Overlay.Count < context.Options.MaxOverlayKeys);
    }

    public void Receive(Query query, Action<RegisterMessage, ulong> reply)
    {
        var stamp = StampOf(query.Key);
        Item? item = query.WantsItem && stamp > query.Above ? ItemOf(query.Key) : null;
        reply(new QueryReply(query.Epoch, query.Question, stamp, item), Overlay.UnsyncedIn(query.Key));
    }

    public void Receive(Store store, Action<RegisterMessage, ulong> reply) => reply(new Stored(store.Epoch, store.Question), Hold(store.Item));

    public void Receive(MergeQuery query, Action<RegisterMessage, ulong> reply)
    {
        if (Standing == EpochStanding.Sealed && Terms!.Epoch == query.Epoch)
        {
            var items = new List<Item>();
            var isLast = Overlay.Read(query.After.Span, context.Options.MaxItems, context.Options.MaxBytes, items);
            reply(new MergeReply(query.Epoch, query.Question, items, isLast), _sealedIn);
        }
    }

    private void Close()
    {
        Standing = EpochStanding.Closed;
        Terms = null;
    }

    private bool TryState(ReadOnlyMemory<byte> key, out Record record) =>
        Terms!.State.TryGet(key.Span, out record) && (record.ExpiresAtMs == 0 || record.ExpiresAtMs > Terms.StateTimeMs);
}
