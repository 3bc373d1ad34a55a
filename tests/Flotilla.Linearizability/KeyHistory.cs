using System.Globalization;

namespace Flotilla.Linearizability;

/// <summary>
/// The operations on one key, ready to be searched: values as small numbers, definite operations in order of their start,
/// and what is known of them beforehand. Operations without effect and without observation are left out.
/// </summary>
internal sealed class KeyHistory
{
    /// <summary>The state of a key that isn't there.</summary>
    public const int Absent = 0;

    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly List<long?> _numbers = [null];
    private readonly List<string> _texts = ["(absent)"];

    public KeyHistory(string key, IEnumerable<Operation> operations, bool exhaustive)
    {
        Key = key;
        Exhaustive = exhaustive;
        var used = operations.Where(Matters).OrderBy(o => o.StartUs).ThenBy(o => o.EndUs).ToList();
        HasIncrements = used.Exists(o => o.Kind == OperationKind.Increment);
        Definite = [.. used.Where(o => o.Outcome == Outcome.Ok).Select(Prepare)];
        Unknown = [.. used.Where(o => o.Outcome == Outcome.Unknown).Select(Prepare)];
        Analyse();
    }

    public string Key { get; }

    /// <summary>Without the rule on dead writes, which is exact only where nothing observes a value without naming it.</summary>
    public bool Exhaustive { get; }

    public bool HasIncrements { get; }

    /// <summary>Operations that took effect or observed, by start.</summary>
    public Prepared[] Definite { get; private set; }

    /// <summary>Operations that may take effect once at any time after their start, by start.</summary>
    public Prepared[] Unknown { get; private set; }

    /// <summary>Something observes a value without naming it: a delete that found something, a mismatch, an increment.</summary>
    public bool HasWeakObservers { get; private set; }

    /// <summary>The search may report a violation where there is none (see <see cref="Exhaustive"/>).</summary>
    public bool MayBeTooStrict { get; private set; }

    public string TextOf(int state) => _texts[state];

    /// <summary>How many values have been met so far; a state's number is below it.</summary>
    public int States => _texts.Count;

    /// <summary>True if exactly one operation can have written this value.</summary>
    public bool HasOneWriter(int state) => state < _writers.Length && _writers[state] == 1;

    private int[] _writers = [];

    /// <summary>The state after the operation, or false if it cannot have happened in this one.</summary>
    public bool TryApply(in Prepared op, int state, out int next)
    {
        next = state;
        switch (op.Op.Kind)
        {
            case OperationKind.Put:
                next = op.Value;
                return true;

            case OperationKind.Get:
                return state == op.Observed;

            case OperationKind.Delete:
                next = Absent;
                return op.Op.Outcome == Outcome.Unknown || op.Op.Found is not { } found || found == (state != Absent);

            case OperationKind.CompareAndSwap when op.Mismatch:
                return state != op.Expected && (op.Observed < 0 || op.Observed == state);

            case OperationKind.CompareAndSwap:
                next = op.Value;
                return state == op.Expected;

            default:
                if ((state == Absent ? 0 : _numbers[state]) is not { } number)
                {
                    return false;
                }

                next = Intern((number + op.Delta).ToString(CultureInfo.InvariantCulture));
                return op.Observed < 0 || op.Observed == next;
        }
    }

    private static bool Matters(Operation op) =>
        op.Outcome == Outcome.Ok || (op.Outcome == Outcome.Unknown && op.Kind != OperationKind.Get);

    private Prepared Prepare(Operation op)
    {
        var mismatch = op.Kind == OperationKind.CompareAndSwap && op.Outcome == Outcome.Ok && op.Found == false;
        var observed = -1;
        if (op.Outcome == Outcome.Ok)
        {
            observed = op.Kind switch
            {
                OperationKind.Get => op.Found == false || op.Read is null ? Absent : Intern(op.Read),
                OperationKind.Delete when op.Found == false => Absent,
                OperationKind.Increment or OperationKind.CompareAndSwap when op.Read is not null => Intern(op.Read),
                _ => -1,
            };
            if (op.Kind == OperationKind.CompareAndSwap && !mismatch)
            {
                observed = -1;
            }
        }

        var value = op.Kind is OperationKind.Put or OperationKind.CompareAndSwap ? Intern(op.Value ?? "") : Absent;
        var expected = op.Kind != OperationKind.CompareAndSwap ? -1 : op.Expected is null ? Absent : Intern(op.Expected);
        var delta = op.Kind != OperationKind.Increment ? 0 : op.Value is null ? 1 : long.Parse(op.Value, CultureInfo.InvariantCulture);
        var pure = op.Kind == OperationKind.Get || mismatch || (op is { Kind: OperationKind.Delete, Outcome: Outcome.Ok, Found: false });
        var blind = op.Kind == OperationKind.Put || (op.Kind == OperationKind.Delete && (op.Outcome == Outcome.Unknown || op.Found is null));
        return new Prepared(op, value, expected, observed, delta, mismatch, pure, blind);
    }

    private int Intern(string text)
    {
        if (!_ids.TryGetValue(text, out var id))
        {
            id = _texts.Count;
            _ids.Add(text, id);
            _texts.Add(text);
            _numbers.Add(long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : null);
        }

        return id;
    }

    /// <summary>Who writes and who observes each value; which writes nobody can have observed.</summary>
    private void Analyse()
    {
        var all = Definite.Concat(Unknown).ToList();
        _writers = new int[_texts.Count];
        _writers[Absent] = 2; // The beginning, and any delete.
        var observed = new bool[_texts.Count];
        var weak = HasIncrements;
        var earliest = new long[_texts.Count];
        Array.Fill(earliest, long.MaxValue);
        foreach (var op in all)
        {
            if (op.Op.Kind is OperationKind.Put or OperationKind.CompareAndSwap && !op.Mismatch)
            {
                _writers[op.Value] += HasIncrements && _numbers[op.Value] is not null ? 2 : 1;
            }

            // A mismatch too tells its value from all others: an unknown delete is no twin of an unknown put to one that expected nothing.
            if (op.Expected >= 0)
            {
                observed[op.Expected] = true;
            }

            if (op.Observed >= 0)
            {
                observed[op.Observed] = true;
                earliest[op.Observed] = Math.Min(earliest[op.Observed], op.Op.EndUs);
            }

            weak |= (op.Mismatch && op.Observed < 0) || (op is { Op.Kind: OperationKind.Delete, Blind: false, Pure: false });
        }

        for (var state = 0; state < _texts.Count; state++)
        {
            if (HasIncrements && _numbers[state] is not null)
            {
                _writers[state] = 2; // An increment may bring it about as well.
            }
        }

        for (var i = 0; i < Definite.Length; i++)
        {
            var op = Definite[i];
            var dead = !Exhaustive && op.Blind && !observed[op.Value];
            MayBeTooStrict |= dead && weak;
            Definite[i] = op with { Dead = dead, Urgency = HasOneWriter(op.Value) ? Math.Min(op.Op.EndUs, earliest[op.Value]) : op.Op.EndUs };
        }

        // A write of unknown outcome whose value nobody observed need not have happened.
        HasWeakObservers = weak;
        Unknown = [.. Unknown.Where(op => weak || !op.Blind || observed[op.Value]).Select(op => op with { Dead = op.Blind && !observed[op.Value], Urgency = HasOneWriter(op.Value) ? earliest[op.Value] : long.MaxValue })];
    }
}

/// <summary>An operation with its values as numbers; -1 where it names none.</summary>
/// <param name="Op">The operation.</param>
/// <param name="Value">What it writes.</param>
/// <param name="Expected">What a compare-and-swap asks for.</param>
/// <param name="Observed">What was seen: by a get, by a mismatch, or the sum of an increment.</param>
/// <param name="Delta">What an increment adds.</param>
/// <param name="Mismatch">A compare-and-swap that definitely did not match.</param>
/// <param name="Pure">It observes and changes nothing.</param>
/// <param name="Blind">It writes whatever was there, and learns nothing of it.</param>
internal readonly record struct Prepared(Operation Op, int Value, int Expected, int Observed, long Delta, bool Mismatch, bool Pure, bool Blind)
{
    /// <summary>A blind write whose value nobody observed.</summary>
    public bool Dead { get; init; }

    /// <summary>The earliest end of this operation and of those that observe its value: what is most urgent is tried first.</summary>
    public long Urgency { get; init; }
}
