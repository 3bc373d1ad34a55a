using Flotilla.Shards;

namespace Flotilla.Node.Loops;

/// <summary>
/// The calls that one replica has not answered yet. A <see cref="RequestId"/> is a place in an array and the place's
/// generation, so that finding a call is an index, and an id that was answered already finds nothing. One loop's thread.
/// </summary>
internal sealed class CallTable
{
    // Nothing before the first call: most replicas of a node of hundreds never have one.
    private const int Smallest = 64;

    private Call?[] _calls = [];
    private uint[] _generations = [];
    private int[] _free = [];
    private int _freeCount;
    private int _used;

    /// <summary>How many calls wait.</summary>
    public int Count => _used - _freeCount;

    /// <summary>Keeps a call under a new id.</summary>
    public RequestId Add(Call call)
    {
        int place;
        if (_freeCount > 0)
        {
            place = _free[--_freeCount];
        }
        else
        {
            if (_used == _calls.Length)
            {
                var room = Math.Max(Smallest, _used * 2);
                Array.Resize(ref _calls, room);
                Array.Resize(ref _generations, room);
                Array.Resize(ref _free, room);
            }

            place = _used++;
        }

        _calls[place] = call;
        return new RequestId(((ulong)_generations[place] << 32) | (uint)place);
    }

    /// <summary>Takes the call of an id out; null if there is none.</summary>
    public Call? Remove(RequestId id)
    {
        var place = (int)(uint)id.Value;
        if (place >= _used || _generations[place] != (uint)(id.Value >> 32) || _calls[place] is not { } call)
        {
            return null;
        }

        _calls[place] = null;
        _generations[place]++;
        _free[_freeCount++] = place;
        return call;
    }

    /// <summary>Takes every call out.</summary>
    public List<Call> RemoveAll()
    {
        var all = new List<Call>(Count);
        for (var place = 0; place < _used; place++)
        {
            if (_calls[place] is { } call)
            {
                all.Add(call);
                _calls[place] = null;
                _generations[place]++;
                _free[_freeCount++] = place;
            }
        }

        return all;
    }
}
