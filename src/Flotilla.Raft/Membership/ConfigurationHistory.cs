namespace Flotilla.Raft.Membership;

/// <summary>
/// The configurations that one replica's log names: the newest one is in force from the moment it is appended, committed or
/// not (Raft paper, section 6), and an older one returns when entries are replaced. One store, derived from log and
/// snapshot, so that it can't diverge from them (hazard 20).
/// </summary>
internal sealed class ConfigurationHistory
{
    private readonly List<(LogIndex Index, Configuration Configuration)> _history;

    public ConfigurationHistory(LogIndex index, Configuration first) => _history = [(index, first)];

    /// <summary>The one in force.</summary>
    public Configuration Current => _history[^1].Configuration;

    /// <summary>Which entry made it; that of the snapshot, or 0, if none in the log did.</summary>
    public LogIndex CurrentIndex => _history[^1].Index;

    /// <summary>The one that was in force after the entry at <paramref name="index"/>, which must not be below the log's base.</summary>
    public Configuration At(LogIndex index) => EntryAt(index).Configuration;

    /// <summary>The same, with the entry that made it.</summary>
    public (LogIndex Index, Configuration Configuration) EntryAt(LogIndex index)
    {
        for (var i = _history.Count - 1; i > 0; i--)
        {
            if (_history[i].Index <= index)
            {
                return _history[i];
            }
        }

        return _history[0];
    }

    public void Appended(LogIndex index, Configuration configuration) => _history.Add((index, configuration));

    public void TruncatedFrom(LogIndex index)
    {
        while (_history.Count > 1 && _history[^1].Index >= index)
        {
            _history.RemoveAt(_history.Count - 1);
        }
    }

    public void CompactedThrough(LogIndex index)
    {
        while (_history.Count > 1 && _history[1].Index <= index)
        {
            _history.RemoveAt(0);
        }
    }

    public void ResetTo(LogIndex index, Configuration configuration)
    {
        _history.Clear();
        _history.Add((index, configuration));
    }
}
