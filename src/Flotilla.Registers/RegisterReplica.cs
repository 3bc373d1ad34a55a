using Flotilla.Registers.Async;
using Flotilla.Registers.Merging;
using Flotilla.Registers.Overlays;
using Flotilla.Registers.Quorum;

namespace Flotilla.Registers;

/// <summary>
/// Leaderless replication of one shard on one node, as a deterministic state machine: holds what it is given, carries out what clients ask of it, and
/// is read when an epoch ends (DESIGN section 5, "Register family"; docs/registers.md). Inputs go in by <see cref="Step"/>; what is to be done
/// comes out of <see cref="TakeEffects"/>, once for each batch of inputs, so that they share one write to the disk. Not thread-safe.
/// </summary>
/// <remarks>
/// It knows nothing of the log but what it is told: which epoch is open, sealed or over. Each replica is told so as it applies its log, some
/// early and some late; the argument why that is enough stands with the rules: <see cref="EpochMarks"/>, <c>Acceptor</c>, <c>QuorumCoordinator</c>,
/// <c>AsyncCoordinator</c>, <c>MergeReader</c>.
/// </remarks>
public sealed class RegisterReplica
{
    private readonly RegisterContext _context;
    private readonly Acceptor _acceptor;
    private Coordinator? _coordinator;
    private MergeReader? _merge;

    /// <summary>A replica that starts from what its disk holds. It serves nothing until its log says so.</summary>
    /// <param name="options">Times and limits.</param>
    /// <param name="boot">The boot number of this process: higher than at any start of this data directory before. Up to 2^48 - 1.</param>
    /// <param name="recovered">What the disk holds; the replica's own from here on.</param>
    public RegisterReplica(RegisterOptions options, ulong boot, RegisterRecovery recovered)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(recovered);
        _context = new RegisterContext(options, boot, recovered.Marks);
        _acceptor = new Acceptor(_context, recovered.Overlay);
    }

    /// <summary>Where it stands.</summary>
    public EpochStanding Standing => _acceptor.Standing;

    /// <summary>The epoch that it has a part in, open or sealed; null if none.</summary>
    public EpochTerms? Terms => _acceptor.Terms;

    /// <summary>The marks, those included that are on the way to the disk.</summary>
    public EpochMarks Marks => _context.Marks;

    /// <summary>What it holds of that epoch, to read.</summary>
    public Overlay Overlay => _acceptor.Overlay;

    /// <summary>Calls that have no answer yet.</summary>
    public int Calls => _coordinator?.Calls ?? 0;

    /// <summary>Keys that some peer is still to be told of; async only.</summary>
    public int Unsent => (_coordinator as AsyncCoordinator)?.Unsent ?? 0;

    /// <summary>Voters whose overlays a merge that is under way here has heard nothing of.</summary>
    public IReadOnlyList<Voter> MergeMisses => _merge?.Missing ?? [];

    /// <summary>More than half of what the overlay may hold: whoever leads should end the epoch and begin another.</summary>
    public bool WantsRenewal => Overlay.Count > _context.Options.MaxOverlayKeys / 2 || Overlay.Bytes > _context.Options.MaxOverlayBytes / 2;

    /// <summary>When <see cref="RegisterInput.Tick"/> has something to do, if nothing else happens; <see cref="Clocks.Never"/> if it never will.</summary>
    public long NextDueUs => Math.Min(_coordinator?.NextDueUs ?? Clocks.Never, _merge?.NextDueUs ?? Clocks.Never);

    /// <summary>Something has happened.</summary>
    /// <param name="input">What.</param>
    /// <param name="now">The time; the monotonic clock never goes back.</param>
    public void Step(RegisterInput input, Clocks now)
    {
        _context.Now = now;
        switch (input)
        {
            case RegisterInput.Open open:
                Open(open.Terms);
                break;
            case RegisterInput.Seal seal:
                if (_acceptor.Seal(seal.Epoch, seal.Index))
                {
                    _coordinator?.Sealed();
                }

                break;
            case RegisterInput.End end:
                End(end);
                break;
            case RegisterInput.Persisted persisted:
                _context.Persisted(persisted.Number.Value);
                Overlay.Synced(persisted.Number.Value);
                break;
            case RegisterInput.Received { From: var from, Message: var message }:
                Receive(from, message);
                break;
            case RegisterInput.Get get:
                if (Refusal(get.Key) is { } refusal)
                {
                    _context.Answer(get.Call, refusal);
                }
                else
                {
                    _coordinator!.Get(get);
                }

                break;
            case RegisterInput.Write write:
                Write(write);
                break;
            case RegisterInput.Merge merge:
                Merge(merge);
                break;
            case RegisterInput.MergeOn on when _merge?.Epoch == on.Epoch:
                _merge.GoOn();
                break;
            case RegisterInput.MergeOff:
                _merge = null;
                break;
            default:
                break; // Time, which is looked at below; or a part of a merge that is off.
        }

        _context.DoReady();
        _coordinator?.Tick();
        _merge?.Tick();
        _context.DoReady();
    }

    /// <summary>Everything that the inputs since the last call want done.</summary>
    public IReadOnlyList<RegisterEffect> TakeEffects() => _context.Take();

    /// <summary>All that its disk needs to hold, in O(1). Take the effects first.</summary>
    public RegisterCheckpoint TakeCheckpoint() => new(_context.LastPersist, _context.Marks, Overlay.Snapshot());

    private void Open(EpochTerms terms)
    {
        ArgumentNullException.ThrowIfNull(terms);
        if (Marks.Opened > Marks.Ended && Marks.Opened < terms.Origin)
        {
            // The state lies beyond the end of the epoch before, of which this replica was not told, or has lost its mark in a crash.
            End(new RegisterInput.End(Marks.Opened, terms.Origin.Value, Merged: null));
        }

        var before = Terms?.Epoch;
        var isAnother = _acceptor.Open(terms);
        _merge = Terms?.Epoch == _merge?.Epoch ? _merge : null;
        if (Terms is null || isAnother)
        {
            // Of calls in an epoch that this replica lost sight of, nobody here will learn what came of them.
            _coordinator?.Ended(null);
            _coordinator = Terms is null ? null
                : terms.Kind == RegisterKind.Quorum ? new QuorumCoordinator(_context, _acceptor)
                : new AsyncCoordinator(_context, _acceptor);
            _coordinator?.Saw(Overlay.HighestCounter);
        }
        else if (before != terms.Epoch)
        {
            (_coordinator as QuorumCoordinator)?.Reopened();
        }
    }

    private void End(RegisterInput.End end)
    {
        if (Terms is null || end.Epoch >= Terms.Epoch)
        {
            _coordinator?.Ended(end.Merged);
            (_coordinator, _merge) = (null, null);
        }

        _acceptor.End(end.Epoch, end.Index);
    }

    private void Receive(Voter from, RegisterMessage message)
    {
        if (Terms is null || message.Epoch != Terms.Epoch || from.Number >= Terms.Voters || from == Terms.Self)
        {
            return; // Of another epoch: it is asked again, or it is over.
        }

        switch (message)
        {
            case MergeQuery query:
                _acceptor.Receive(query, ReplyTo(from));
                break;
            case MergeReply reply:
                _merge?.Receive(from, reply);
                break;
            case Stored reply:
                _coordinator!.Receive(from, reply); // Given before its sender was sealed, whatever has happened here since.
                break;
            case var any when !_acceptor.Serves(any.Epoch):
                break;
            case Query query:
                _acceptor.Receive(query, ReplyTo(from));
                break;
            case Store store:
                _coordinator!.Saw(store.Item.Stamp);
                _acceptor.Receive(store, ReplyTo(from));
                break;
            default:
                _coordinator!.Receive(from, message);
                break;
        }
    }

    private Action<RegisterMessage, ulong> ReplyTo(Voter to) => (reply, after) => _context.Send(to, reply, after);

    private RegisterAnswer? Refusal(ReadOnlyMemory<byte> key) =>
        Standing != EpochStanding.Open ? new RegisterAnswer.NotOpen()
        : Terms!.Slots[Topology.Slot.Of(key.Span)].Value == 0 ? new RegisterAnswer.NotOwner()
        : Calls >= _context.Options.MaxCalls ? new RegisterAnswer.Overloaded()
        : null;

    // One that is tried again may have been stored already: nothing may be said to it as if it had not.
    private void Write(RegisterInput.Write write)
    {
        var refusal = Refusal(write.Key);
        if (refusal is null && (write.Retry is not null || _acceptor.HasRoomFor(write.Key, write.Value.Length)))
        {
            _coordinator!.Write(write);
        }
        else
        {
            _context.Answer(write.Call, write.Retry is { } attempt ? new RegisterAnswer.Indeterminate(attempt) : refusal ?? new RegisterAnswer.Overloaded());
        }
    }

    private void Merge(RegisterInput.Merge merge)
    {
        if (Standing != EpochStanding.Sealed || Terms!.Epoch != merge.Epoch)
        {
            return;
        }

        if (_merge is { } underWay)
        {
            underWay.Needed = merge.Needed;
        }
        else
        {
            _merge = new MergeReader(_context, _acceptor, merge.Needed);
        }
    }
}
