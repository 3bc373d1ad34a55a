using Flotilla.Raft;

namespace Flotilla.Storage.Snapshots;

/// <summary>
/// The transfers of snapshots that are under way at a node: at most one that comes for each group, and one that is read for each group and
/// receiver. Whichever snapshot is asked for next takes the place of the one before. Not thread-safe.
/// </summary>
/// <param name="store">The files.</param>
public sealed class SnapshotTransfers(SnapshotStore store)
{
    private readonly Dictionary<GroupId, SnapshotReceiver> _receivers = [];
    private readonly Dictionary<(GroupId Group, NodeId To), SnapshotSource> _sources = [];

    /// <summary>What is read from to send a snapshot to a node.</summary>
    /// <exception cref="IOException">It can't be opened.</exception>
    public SnapshotSource SourceFor(NodeId to, GroupId group, SnapshotMeta snapshot)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        if (_sources.TryGetValue((group, to), out var source))
        {
            if (source.Info.Id == snapshot.Id)
            {
                return source;
            }

            _sources.Remove((group, to));
            source.Dispose();
        }

        return _sources[(group, to)] = store.OpenSource(SnapshotInfo.Of(group, snapshot));
    }

    /// <summary>What takes the pieces of a snapshot that comes.</summary>
    /// <param name="group">Of which group.</param>
    /// <param name="snapshot">Which.</param>
    /// <param name="beginning">Called with its size before the first piece is taken; may refuse by throwing.</param>
    /// <exception cref="IOException">It can't be begun.</exception>
    public SnapshotReceiver ReceiverOf(GroupId group, SnapshotMeta snapshot, Action<long>? beginning = null)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        if (_receivers.TryGetValue(group, out var receiver))
        {
            if (receiver.Info.Id == snapshot.Id)
            {
                return receiver;
            }

            Forget(group)!.Abandon();
        }

        beginning?.Invoke(snapshot.Bytes);
        return _receivers[group] = store.BeginReceive(group, snapshot.Index, snapshot.Term, snapshot.Id, snapshot.Bytes);
    }

    /// <summary>Whether this is what takes the pieces now.</summary>
    public bool IsReceiving(GroupId group, SnapshotReceiver receiver) => _receivers.GetValueOrDefault(group) == receiver;

    /// <summary>Takes no more pieces for a group; what took them, or null, is the caller's from here on.</summary>
    public SnapshotReceiver? Forget(GroupId group) => _receivers.Remove(group, out var receiver) ? receiver : null;

    /// <summary>Deletes a snapshot that nobody needs, or what was received of it.</summary>
    public void Drop(GroupId group, SnapshotMeta snapshot)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        End(group, snapshot.Id);
        store.Drop(SnapshotInfo.Of(group, snapshot));
    }

    /// <summary>Deletes all that there is of a group.</summary>
    public void Remove(GroupId group)
    {
        End(group, only: null);
        store.Remove(group);
    }

    /// <summary>Gives up what is under way.</summary>
    public void GiveUp()
    {
        foreach (var receiver in _receivers.Values)
        {
            receiver.Dispose();
        }

        foreach (var source in _sources.Values)
        {
            source.Dispose();
        }

        _receivers.Clear();
        _sources.Clear();
    }

    private void End(GroupId group, ulong? only)
    {
        if (_receivers.TryGetValue(group, out var receiver) && (only is null || receiver.Info.Id == only))
        {
            Forget(group)!.Abandon();
        }

        foreach (var (key, source) in _sources.Where(s => s.Key.Group == group && (only is null || s.Value.Info.Id == only)).ToArray())
        {
            _sources.Remove(key);
            source.Dispose();
        }
    }
}
